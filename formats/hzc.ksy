# Bytes of a .hzc file, version 1. The specification is hzc-1.md; where this file differs, it is wrong.
meta:
  id: hzc
  title: hzc speech file, version 1
  file-extension: hzc
  license: Apache-2.0
  ks-version: '0.10'
  endian: be
  bit-endian: be
doc: |
  Header, chunks, records and end record of a .hzc file. The numbers in brackets are sections of the
  specification.

  Not described here: what the checksums must be (5.3), the coded symbols inside the payloads (6, 7),
  and in which order a reader makes its checks (11).
doc-ref: hzc-1.md
seq:
  - id: header
    type: header
  - id: chunks
    type: chunk(_index)
    repeat: expr
    repeat-expr: header.n_chunks
    if: not header.is_streamed
    doc: Chunks of a file whose header tells its length.
  - id: parts
    type: streamed_part
    repeat: until
    repeat-until: _.is_end
    if: header.is_streamed
    doc: Chunks of a streamed file; the last part is the end record.
  - id: after_end
    size-eos: true
    valid:
      expr: _.length == 0
    doc: Nothing may follow.
types:
  header:
    doc: What the file says about itself (4).
    seq:
      - id: magic
        contents: hzc
      - id: version
        type: b4
        valid: 1
      - id: reserved
        type: b2
        valid: 0
      - id: has_step_offsets
        type: b1
      - id: is_streamed
        type: b1
      - id: model_id
        type: u1
        valid:
          min: 1
      - id: fingerprint
        type: u2
        doc: CRC-16 of the model's prior (6.3).
      - id: rate_code
        type: b4
        valid:
          max: 14
      - id: channels_less_1
        type: b4
      - id: step_index
        type: s1
        valid:
          min: -64
          max: 64
      - id: n_latent
        type: u1
        valid:
          min: 1
        doc: D, dimensions of the latent.
      - id: sample_rate
        type: u4
        if: rate_code == 0
        valid:
          min: 1000
          max: 768000
      - id: step_offsets
        type: s1
        repeat: expr
        repeat-expr: n_latent
        if: has_step_offsets
        valid:
          expr: step_index + _ >= -64 and step_index + _ <= 64
      - id: n_frames
        type: vlq
        if: not is_streamed
        valid:
          expr: _.value >= 1 and _.value <= 134217728
      - id: trim
        type: vlq
        if: not is_streamed
      - id: crc
        type: u2
        doc: CRC-16 of the header's bytes before it.
    instances:
      n_channels:
        value: channels_less_1 + 1
      sample_rate_hz:
        value: |
          rate_code == 0 ? sample_rate : [
            0, 8000, 11025, 12000, 16000, 22050, 24000, 32000,
            44100, 48000, 64000, 88200, 96000, 176400, 192000
          ][rate_code]
      n_chunks:
        value: (n_frames.value + 79) / 80
        if: not is_streamed
      n_samples:
        value: (n_frames.value * sample_rate_hz / 8 - trim.value).as<u8>
        if: not is_streamed
        doc: Samples per channel of the original recording (4.5).
  chunk:
    doc: Ten seconds or less of every channel (5).
    params:
      - id: index
        type: u4
    seq:
      - id: records
        type: record(n_frames)
        repeat: expr
        repeat-expr: _root.header.n_channels
    instances:
      n_frames:
        value: |
          index + 1 < _root.header.n_chunks
          ? 80
          : _root.header.n_frames.value - 80 * index
  streamed_part:
    doc: A chunk of a streamed file, or its end record (5.2).
    seq:
      - id: n_frames
        type: u1
        valid:
          max: 80
      - id: end
        type: end_record
        if: is_end
      - id: first
        type: record(n_frames)
        if: not is_end
        doc: Record of the first channel, n_frames left out.
      - id: others
        type: streamed_record(n_frames)
        repeat: expr
        repeat-expr: _root.header.n_channels - 1
        if: not is_end
    instances:
      is_end:
        value: n_frames == 0
  streamed_record:
    doc: Record of a channel other than the first.
    params:
      - id: n_frames_of_chunk
        type: u1
    seq:
      - id: n_frames
        type: u1
        valid: n_frames_of_chunk
      - id: record
        type: record(n_frames)
  record:
    doc: One channel of one chunk (5.1), without the n_frames of a streamed file.
    params:
      - id: n_frames
        type: u1
    seq:
      - id: gain
        type: s1
        valid:
          min: -120
          max: 120
        doc: Half decibels; the same in all channels of a chunk.
      - id: length
        type: vlq
        valid:
          expr: _.value <= n_frames * _root.header.n_latent * 5 + 8
      - id: payload
        size: length.value
      - id: crc
        type: u2
        doc: CRC-16 that starts from the record's place (5.3).
  end_record:
    doc: What the header of a streamed file could not tell; its zero byte left out (5.2).
    seq:
      - id: n_frames
        type: vlq
        valid:
          expr: _.value >= 1 and _.value <= 134217728
      - id: trim
        type: vlq
      - id: crc
        type: u2
        doc: CRC-16 that starts from the end record's place (5.3).
    instances:
      n_samples:
        value: (n_frames.value * _root.header.sample_rate_hz / 8 - trim.value).as<u8>
        doc: Samples per channel of the original recording (4.5).
  vlq:
    doc: Varint, LEB128, at most five bytes, shortest form (3).
    seq:
      - id: groups
        type: vlq_group(_index)
        repeat: until
        repeat-until: not _.has_next
    instances:
      value:
        value: |
          (
            groups[0].value.as<u8>
            + (groups.size > 1 ? groups[1].value.as<u8> << 7 : 0)
            + (groups.size > 2 ? groups[2].value.as<u8> << 14 : 0)
            + (groups.size > 3 ? groups[3].value.as<u8> << 21 : 0)
            + (groups.size > 4 ? groups[4].value.as<u8> << 28 : 0)
          ).as<u8>
  vlq_group:
    params:
      - id: index
        type: u1
    seq:
      - id: has_next
        type: b1
        valid:
          expr: not _ or index < 4
      - id: value
        type: b7
        valid:
          expr: _ != 0 or has_next or index == 0
