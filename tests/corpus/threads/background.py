import threading
import time

stop, beats = threading.Event(), []


def beat():
    while not stop.wait(0.001):
        beats.append(time.monotonic())


thread = threading.Thread(target=beat, daemon=True)
thread.start()
time.sleep(0.01)
stop.set()
thread.join()
print(len(beats), beats == sorted(beats), thread.is_alive())
local = threading.local()
local.value = "main"
seen = []
other = threading.Thread(target=lambda: seen.append(hasattr(local, "value")))
other.start()
other.join()
print(seen, local.value, threading.active_count())
