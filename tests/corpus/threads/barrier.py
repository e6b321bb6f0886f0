import threading

barrier, order = threading.Barrier(3), []


def phase(name):
    order.append((name, "before"))
    place = barrier.wait()
    order.append((name, "after"))
    return place


threads = [threading.Thread(target=phase, args=(name,)) for name in "xyz"]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(order, [step for _, step in order] == ["before"] * 3 + ["after"] * 3)
