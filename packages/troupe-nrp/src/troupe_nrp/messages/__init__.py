"""Protobuf messages that experiments exchange.

`definitions` says what they hold, `modules` makes of that the modules that protobuf's compiler
would make, under both names that experiments import.
"""
