"""Benchmarks against real peers: `hzc-bench`, and smaller measuring scripts.

    cli ─▶ run ─▶ peers ─▶ ogg            bytes and decoded samples of every codec
     │      ├──▶ align                    one delay a codec, taken out
     │      └──▶ metrics ─▶ models, spectra, store
     ├──▶ speed
     └──▶ report ─▶ summary, plots;  page ─▶ spectra

Packages that only one metric needs are imported when that metric is loaded; what is missing is left
out and named in the report.
"""
