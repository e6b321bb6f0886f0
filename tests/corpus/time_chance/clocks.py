import time
import time as clock
from time import monotonic, perf_counter as tick, time as now

print(time.time(), clock.time_ns(), now(), monotonic(), time.monotonic_ns(), tick(), time.perf_counter_ns())
print(time.process_time(), time.thread_time(), time.process_time_ns(), time.thread_time_ns())
print(time.localtime(), time.gmtime(), time.ctime(), time.asctime(), time.strftime("%Y-%m-%d %H:%M:%S"))
print(time.clock_gettime(time.CLOCK_REALTIME), time.clock_gettime_ns(time.CLOCK_MONOTONIC), time.tzname)


class Stopwatch:
    clock = time.perf_counter

    def __init__(self):
        self.began = self.clock()


watch = Stopwatch()
time.sleep(0.001)
print(Stopwatch.clock() - watch.began, list(map(lambda call: call(), [time.time] * 2)))
