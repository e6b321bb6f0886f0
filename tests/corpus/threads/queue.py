import queue
import threading

work, results = queue.Queue(), []


def consume():
    while (item := work.get()) is not None:
        results.append((threading.current_thread().name, item * item))
        work.task_done()
    work.task_done()


threads = [threading.Thread(target=consume, name=f"consumer {n}") for n in range(3)]
for thread in threads:
    thread.start()
for item in range(10):
    work.put(item)
for _ in threads:
    work.put(None)
work.join()
for thread in threads:
    thread.join()
print(results)
try:
    work.get(timeout=0.002)
except queue.Empty:
    print("empty")
