"""A batch as articles write it: one aiohttp session, a task for each number, gather. Prints one line of JSON."""

import argparse
import asyncio
import csv
import json
import resource
import time

import aiohttp


def status(name):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(name))


async def call(session, url, row):
    body = {"to": row["to"], "tts": f"Hello {row['name']}, your table is ready."}
    async with session.post(url, json=body) as reply:
        return reply.status, await reply.json()


async def main(base, file):
    with open(file, newline="") as lines:
        headers = {"Authorization": "Bearer bench-key-0001", "Content-Type": "application/json"}
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
            idle, began = status("VmRSS:"), time.monotonic()
            url = f"{base}/v1/calls"
            replies = await asyncio.gather(*(call(session, url, row) for row in csv.DictReader(lines)))
            seconds = time.monotonic() - began
    used = resource.getrusage(resource.RUSAGE_SELF)
    placed = sum(1 for code, _ in replies if code == 201)
    cpu = used.ru_utime + used.ru_stime
    print(json.dumps({"placed": placed, "seconds": seconds, "cpu": cpu, "idle": idle, "peak": status("VmHWM:")}))


arguments = argparse.ArgumentParser()
arguments.add_argument("--base", required=True)
arguments.add_argument("--file", required=True)
given = arguments.parse_args()
asyncio.run(main(given.base, given.file))
