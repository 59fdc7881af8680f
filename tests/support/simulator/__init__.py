"""An in-memory cluster with a clock of its own, in which the real pipeline runs.

The truth is one server with resource versions (``server``), on which controllers (``controllers``), people
(``people``) and one or two operators (``process``) act. An operator sees it through a cache that lags (``cache``) and
speaks to it through calls that may fail or be its last (``calls``). Everything random comes from one seed, and nothing
waits: a soak of an hour is a step of the clock.
"""
