import threading
import time

counter, lock = 0, threading.Lock()


def add(times):
    global counter
    for _ in range(times):
        with lock:
            value = counter
            time.sleep(0)
            counter = value + 1


threads = [threading.Thread(target=add, args=(20,)) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(counter)
ready = threading.Condition()
items = []


def produce():
    with ready:
        items.append("made")
        ready.notify()


threading.Timer(0.002, produce).start()
with ready:
    print(ready.wait_for(lambda: items, timeout=10), items)
print(lock.acquire(timeout=0.01), lock.acquire(timeout=0.002))
