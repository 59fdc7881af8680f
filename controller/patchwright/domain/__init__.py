"""The decisions: pure functions over a snapshot.

Law: no I/O, no clock, no logging, no framework. Everything is a frozen dataclass; time is a parameter; what is to be
done comes back as data.
"""
