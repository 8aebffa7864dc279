"""The experiments of the book, one file a question.

`lnlib.lab.experiment` says what such a file holds, and `python -m lnlib run` runs it.
"""
