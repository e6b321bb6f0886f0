import functools
import time


def timed(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        began = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            wrapper.seconds = time.perf_counter() - began

    return wrapper


def retry(times, exceptions=(Exception,)):
    def decorate(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            for attempt in range(1, times + 1):
                try:
                    return function(*args, **kwargs)
                except exceptions as error:
                    print(f"attempt {attempt} failed: {error}")
                    time.sleep(0.001)
            raise RuntimeError("gave up")

        return wrapper

    return decorate


calls = []


@timed
@retry(3, exceptions=(ValueError,))
def flaky(limit):
    """Fails at first."""
    calls.append(limit)
    if len(calls) < limit:
        raise ValueError(len(calls))
    return "done"


print(flaky(3), flaky.seconds > 0, flaky.__doc__, flaky.__name__)
