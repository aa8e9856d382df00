#!/usr/bin/env python3
"""Watches a long run, and judges it. Called by the soak scenario of scripts/bench.

    soak.py sample PID SECONDS OUT.csv     a line of memory every so many seconds, until it is ended
    soak.py judge RSS.csv SERIES.csv       lines of: what|figure|limit|holds or fails

SERIES.csv is what the load generator writes, one line for each step.
"""

import csv
import statistics
import sys
import time

# Megabytes that memory may grow in ten minutes, over the last two thirds.
MOST_SLOPE = 1.0
# By how much the last third's p99 may be over the first's.
MOST_DRIFT = 0.20


def sample(pid, seconds, out):
    began = time.monotonic()
    with open(out, "w") as file:
        print("second,kb", file=file, flush=True)
        while True:
            try:
                with open(f"/proc/{pid}/status") as status:
                    kb = next(line.split()[1] for line in status if line.startswith("VmRSS"))
            except (OSError, StopIteration):
                return
            print(f"{time.monotonic() - began:.1f},{kb}", file=file, flush=True)
            time.sleep(float(seconds))


def slope(points):
    """Least squares: how much y grows for each unit of x."""
    middle_x = statistics.fmean(x for x, _ in points)
    middle_y = statistics.fmean(y for _, y in points)
    over = sum((x - middle_x) * (y - middle_y) for x, y in points)
    under = sum((x - middle_x) ** 2 for x, _ in points)
    return over / under if under else 0.0


def judge(rss, series):
    with open(rss) as file:
        memory = [(float(row["second"]), float(row["kb"]) / 1000) for row in csv.DictReader(file)]
    late = [point for point in memory if point[0] >= memory[-1][0] / 3]
    growth = slope(late) * 600
    verdict("memory, MB in 10 minutes", f"{growth:+.2f}", f"< {MOST_SLOPE:g}", growth < MOST_SLOPE)
    with open(series) as file:
        # The last step is not whole.
        p99 = [float(row["p99_ms"]) for row in csv.DictReader(file) if int(row["answered"])][:-1]
    third = max(1, len(p99) // 3)
    first, last = statistics.median(p99[:third]), statistics.median(p99[-third:])
    drift = last / first - 1
    figure = f"{drift:+.0%} (from {first:.2f} to {last:.2f} ms)"
    verdict("p99, last third against first", figure, f"< {MOST_DRIFT:+.0%}", drift < MOST_DRIFT)


def verdict(what, figure, limit, holds):
    print(what, figure, limit, "holds" if holds else "fails", sep="|")


if __name__ == "__main__":
    {"sample": sample, "judge": judge}[sys.argv[1]](*sys.argv[2:])
