"""Runs that are killed, and networks that fail, many times over: nothing may be wrong, and nothing silently lost.

Small in the test suite (tests/test_faults.py); large by hand: ``python -m tests.campaign --kills 150 --cluster-kills 60 --faults
1000 --cluster-faults 60 --seed 1``. A trial is a run that is disturbed, looked at, and resumed; the store must then equal that of
an unbroken run byte for byte.
"""
