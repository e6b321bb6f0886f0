import time
from concurrent.futures import ThreadPoolExecutor, as_completed


def fetch(number):
    time.sleep(0.001 * (4 - number))
    return number, threading_name()


def threading_name():
    import threading

    return threading.current_thread().name.split("-")[0]


with ThreadPoolExecutor(max_workers=3) as pool:
    print(list(pool.map(fetch, range(4))))
    futures = {pool.submit(fetch, number): number for number in range(4)}
    print([futures[future] for future in as_completed(futures)])
    failing = pool.submit(lambda: 1 / 0)
    print(type(failing.exception()).__name__)
