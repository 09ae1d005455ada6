"""What this tool costs, beside other tools on the same trees: `make bench` measures and writes docs/benchmarks.md.

`python -m benchmarks --help` says what can be chosen. One figure is not about time and stands apart: what Globus has to
do for a change, with cron and with a timer, which cron_or_timers.py counts for the README. Nothing here is imported by
the product.
"""
