#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""voice.py FILE [SECONDS] - write a caller's voice: raw PCMU (G.711 mu-law, 8 kHz), two tones by turns.

SIPp's rtp_stream plays it as RTP, which needs no root (its pcap player does).
"""
import math
import sys

RATE = 8000
BIAS = 0x84
CLIP = 32635


def ulaw(sample):
    """One signed 16-bit sample as a G.711 mu-law byte (ITU-T G.711, table 2a)."""
    sign = 0x80 if sample < 0 else 0
    magnitude = min(abs(sample), CLIP) + BIAS
    exponent = magnitude.bit_length() - 8
    mantissa = (magnitude >> (exponent + 3)) & 0x0F
    return ~(sign | exponent << 4 | mantissa) & 0xFF


def voice(seconds):
    out = bytearray()
    for n in range(int(seconds * RATE)):
        tone = 440 if n // (RATE // 2) % 2 == 0 else 660
        out.append(ulaw(int(8000 * math.sin(2 * math.pi * tone * n / RATE))))
    return bytes(out)


if __name__ == "__main__":
    with open(sys.argv[1], "wb") as f:
        f.write(voice(float(sys.argv[2]) if len(sys.argv) > 2 else 4))
