"""A report as one HTML file that opens without a network: data in, HTML out."""
