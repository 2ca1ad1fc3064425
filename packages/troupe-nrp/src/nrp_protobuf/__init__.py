"""Modules of protobuf messages: ``dump_pb2``, ``nrpgenericproto_pb2`` and others."""

from troupe_nrp.messages.modules import add_modules

add_modules(__name__)
