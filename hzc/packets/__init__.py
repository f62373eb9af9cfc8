"""Speech in packets that decode alone: for radio, datagrams and other links that lose some.

    samples ── PacketEncoder ── packets ~~ link ~~ packets ── PacketDecoder ── samples

Specification of a packet: formats/packets-1.md.
"""
