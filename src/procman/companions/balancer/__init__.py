"""The balancer: keeps a load balancer's servers in step with the ready instances of a type.

For HAProxy through its runtime API (answers.py reads it, planning.py decides, runtime.py speaks) or by agent checks; for
any other by a file made of a template. It reconciles from what is, so that it may be killed at any moment.
"""
