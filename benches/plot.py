"""Draws the plots of benches/README.md. Called by scripts/bench.

plot.py OUT.svg TITLE LEVEL LABEL=SERIES.csv...   answers a second over time, and a line at LEVEL
plot.py --bars OUT.svg TITLE ROWS                 rows of: case, rate, raw rate, CPU, raw CPU
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
    for offset, column, label in [(-0.2, 3, "feishu-id"), (0.2, 4, "bare tonic")]:
        drawn = axes.bar([place + offset for place in places], [float(row[column]) for row in table], 0.4, label=label)
        axes.bar_label(drawn, fmt="%.3g", fontsize=8)
    axes.set_xticks(list(places), [row[0] for row in table])
    axes.set(title=title, ylabel="µs")
    axes.legend(fontsize=8)
    save(figure, out)


def save(figure, out):
    figure.tight_layout()
    figure.savefig(out, metadata={"Date": None})


if __name__ == "__main__":
    if sys.argv[1] == "--bars":
        bars(*sys.argv[2:])
    else:
        lines(*sys.argv[1:])
