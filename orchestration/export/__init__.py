"""One mart of one version of the lake as a file: CSV, JSON, Parquet, Excel, or an extract of Tableau."""
