"""CRC-16/IBM-3740 (section 3)."""

START = 0xFFFF
_POLYNOMIAL = 0x1021


def _shift_byte(register: int) -> int:
    for _ in range(8):
        carry = register & 0x8000
        register = (register << 1) & 0xFFFF
        if carry:
            register ^= _POLYNOMIAL
    return register


_TABLE = [_shift_byte(byte << 8) for byte in range(256)]


def crc16(data: bytes, start: int = START) -> int:
    """Return the CRC-16 of `data`, going on from the register `start`."""
    register = start
    for byte in data:
        register = ((register & 0xFF) << 8) ^ _TABLE[(register >> 8) ^ byte]
    return register
