"""The worker: the process in which agent code runs. Entered by `python -m coda.runtime.worker` alone."""
