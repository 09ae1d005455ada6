"""Proofs that take longer than tests should: `make prove` runs them and writes docs/reliability.md.

Each part is a module with one function, `prove(effort) -> Proof`; `python -m prove --help` lists them. What a part does
in seconds stands in tests/ too, so that `make test` meets it first. Nothing here is imported by the product.
"""
