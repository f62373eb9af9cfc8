"""Corpora: many clips to shards of .hzc files, back to audio, and into training.

    sources ── slices ── jobs (runner: processes, Ray) ── shards
    tars, tables, manifests                  batch                 OUT/part-000000.tar, .parquet

A slice is what one job makes one shard of; `clips` has what passes between them. `engine` plans,
resumes and counts; `reading` and `dataset` give shards back to programs; `stats` measures them.
"""
