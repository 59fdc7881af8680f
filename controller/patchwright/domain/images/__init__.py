"""Container images: how they are named, which of them are there and for which machines, and which comes next; pure.

The vocabulary is that of the OCI distribution and image specifications; an "image" is what a tag or digest names, be it
an index over several platforms or the manifest of one.
"""
