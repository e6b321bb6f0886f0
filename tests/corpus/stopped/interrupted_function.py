def search(limit):
    best = 0
    try:
        while True:
            for candidate in range(limit):
                best = max(best, sum(range(20_000 + candidate)))
    except KeyboardInterrupt:
        print("stopping")
        raise
    finally:
        print("cleaned up")


search(100)
# ends: interrupted
# %%
print(search.__name__)
