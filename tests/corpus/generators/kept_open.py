def numbers():
    total = 0
    while True:
        received = yield total
        total += received if received is not None else 1


counter = numbers()
print(next(counter), next(counter), counter.send(10))
# %%
print(counter.send(5), counter.gi_frame.f_locals)
# %%
try:
    counter.throw(KeyError("stop"))
except KeyError as error:
    print("thrown", error)
print(next(counter, "ended"))
