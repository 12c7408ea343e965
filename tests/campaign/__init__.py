"""Runs that are killed, networks that fail, sources that change, files that are damaged, many times over: nothing may be wrong.

Small in the test suite (tests/images/test_faults.py); large by hand:
``python -m tests.campaign --kills 150 --cluster-kills 60 --faults
1000 --cluster-faults 60 --changes 200 --damages 500 --seed 1``. A trial is a run that is disturbed, looked at, and resumed; the
store must then equal that of an unbroken run byte for byte, or be refused with a way out that works.
"""
