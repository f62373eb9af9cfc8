"""Benchmarks of hzc and of its peers: the command `hzc-bench`.

    cli ─▶ bars, stress, sources ─▶ report ─▶ summary, plots;  page ─▶ spectra
     └──▶ pipeline ─▶ systems, lyra, published     decoded samples and bytes of every system
           ├───────▶ align                         the delay, taken out
           └───────▶ metrics ─▶ models, words, artefacts, spectra, store

Packages that only one metric or system needs are imported when that is loaded; what is missing is
left out and named in the report.
"""
