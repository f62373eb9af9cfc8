"""A second decoder of .hzc files, written from formats/hzc-1.md and from nothing else.

It shares no code with the package `hzc`. It makes symbols, not sound: the specification does not
describe the synthesis transform.
"""
