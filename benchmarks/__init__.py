"""What this tool costs, beside other tools on the same trees: `make bench` measures and writes docs/benchmarks.md.

`python -m benchmarks --help` says what can be chosen. Two programs stand apart: cron_or_timers.py counts what Globus
has to do for a change, with cron and with a timer; long_lists.py shows the runs that read what a large task
transferred. Nothing here is imported by the product.
"""
