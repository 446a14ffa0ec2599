"""The autoscaler: lets the count of process types follow demand, by what it reads every few seconds.

The rule is core/autoscale.py's; here are the readings (metrics/), the calendar, the loop, and what is kept in files. It
is level-triggered: killed at any moment and started again it goes on from what it sees, and takes nothing away for a
whole window. What it cannot read it does nothing about.
"""
