"""Images: read from a source (`sources`, one file each), made into squares of one size and split (`prepare`), drawn in
batches (`dataset`). Imports nothing above the root modules.
"""
