import asyncio


async def job(number):
    await asyncio.sleep(0.001 * number)
    if number == 2:
        raise ValueError(f"job {number} failed")
    return number


try:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(job(number), name=f"job-{number}") for number in range(4)]
except* ValueError as errors:
    print([str(error) for error in errors.exceptions])
print([(task.get_name(), task.cancelled(), task.done()) for task in tasks])
