"""Draws the plots of benches/README.md. Called by scripts/bench.

plot.py OUT.svg TITLE LEVEL LABEL=SERIES.csv...   answers a second over time, and a line at LEVEL
plot.py --bars OUT.svg TITLE ROWS                 rows of: case, CPU, raw CPU
plot.py --callers OUT.svg TITLE ROWS              rows of: people, callers, calls, MB
plot.py --outage OUT.svg TITLE LABEL=SERIES.csv=FROM=TO...   fresh, stale and failed over time
plot.py --soak OUT.svg TITLE RSS.csv SERIES.csv   memory and p99 over time
"""

import csv
import sys

import matplotlib

matplotlib.use("svg")
# The same file each time, but for the figures, so that a change shows what changed.
matplotlib.rcParams["svg.hashsalt"] = "feishu-id"
matplotlib.rcParams["svg.fonttype"] = "none"
import matplotlib.pyplot as plt  # noqa: E402 (the backend comes first)


def lines(out, title, level, *series):
    figure, axes = plt.subplots(figsize=(9, 4))
    for pair in series:
        label, path = pair.rsplit("=", 1)
        with open(path, newline="") as file:
            rows = list(csv.DictReader(file))
        seconds = [int(row["second"]) for row in rows]
        axes.plot(seconds, [int(row["answered"]) for row in rows], label=label, linewidth=1)
    if float(level) > 0:
        axes.axhline(float(level), color="grey", linestyle="--", linewidth=1)
        axes.annotate("the quota's ceiling", (0, float(level)), xytext=(2, 3), textcoords="offset points", color="grey", fontsize=8)
    axes.set(title=title, xlabel="second", ylabel="answered in it")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8)
    save(figure, out)


def bars(out, title, rows):
    with open(rows) as file:
        table = [line.split() for line in file]
    figure, axes = plt.subplots(figsize=(9, 4))
    places = range(len(table))
    for offset, column, label in [(-0.2, 1, "feishu-id"), (0.2, 2, "bare tonic")]:
        drawn = axes.bar([place + offset for place in places], [float(row[column]) for row in table], 0.4, label=label)
        axes.bar_label(drawn, fmt="%.3g", fontsize=8)
    axes.set_xticks(list(places), [row[0] for row in table])
    axes.set(title=title, ylabel="µs")
    axes.legend(fontsize=8)
    save(figure, out)


def callers(out, title, rows):
    with open(rows) as file:
        table = [[float(word) for word in line.split()] for line in file]
    figure, both = plt.subplots(1, 2, figsize=(9, 4))
    for axes, column, label in [(both[0], 2, "calls to Feishu"), (both[1], 3, "memory, MB")]:
        for number, people in enumerate(sorted({row[0] for row in table})):
            points = [(row[1], row[column]) for row in table if row[0] == people]
            # Lines may lie on one another: each has smaller marks than those below it.
            axes.plot(*zip(*points), marker="o", markersize=max(3, 11 - 3 * number), linewidth=1, label=f"{people:,.0f} people")
        axes.margins(y=0.1)
        axes.set(xscale="log", xlabel="callers", ylabel=label)
        axes.set_ylim(bottom=0)
        axes.legend(fontsize=8)
    figure.suptitle(title)
    save(figure, out)


def outage(out, title, *series):
    figure, rows = plt.subplots(len(series), figsize=(9, 2.2 * len(series)), sharex=True, squeeze=False)
    for axes, described in zip(rows[:, 0], series):
        label, path, start, end = described.rsplit("=", 3)
        # The last second is not whole.
        steps = read(path)[:-1]
        seconds = [row["second"] for row in steps]
        stale = [row["stale"] for row in steps]
        fresh = [row["answered"] - row["stale"] for row in steps]
        axes.stackplot(seconds, fresh, stale, [row["failed"] for row in steps], labels=["fresh", "stale", "failed"], colors=["#7fb77e", "#f0c05a", "#d9534f"])
        axes.axvspan(float(start), float(end), color="grey", alpha=0.2, linewidth=0)
        axes.set(ylabel=f"Feishu\n{label}")
    rows[0, 0].legend(fontsize=8, loc="lower left")
    rows[-1, 0].set(xlabel="second")
    figure.suptitle(title)
    save(figure, out)


def soak(out, title, rss, series):
    figure, (upper, lower) = plt.subplots(2, figsize=(9, 5), sharex=True)
    memory = read(rss)
    upper.plot([row["second"] / 60 for row in memory], [row["kb"] / 1000 for row in memory], linewidth=1)
    upper.set(ylabel="memory, MB")
    steps = read(series)[:-1]
    lower.plot([row["second"] / 60 for row in steps], [row["p99_ms"] for row in steps], linewidth=1, marker=".")
    lower.set(ylabel="p99, ms", xlabel="minute")
    for axes in (upper, lower):
        axes.set_ylim(bottom=0)
    figure.suptitle(title)
    save(figure, out)


def read(path):
    with open(path, newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def save(figure, out):
    figure.tight_layout()
    figure.savefig(out, metadata={"Date": None})


MODES = {"--bars": bars, "--callers": callers, "--outage": outage, "--soak": soak}

if __name__ == "__main__":
    if sys.argv[1] in MODES:
        MODES[sys.argv[1]](*sys.argv[2:])
    else:
        lines(*sys.argv[1:])
