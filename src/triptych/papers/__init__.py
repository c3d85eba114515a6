"""Papers reproduced, one folder each.

A paper uses the rest of the package as any user could. Only the command line imports one.
"""
