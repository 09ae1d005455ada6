"""The page of `status.py --html` and REPORT_FILE: one file that opens from disk, without a network.

`folders` chooses which folders the page has room for, `page` makes the page, `refresh` decides when a run renews it.
`parts` holds what the page is made of: the template, its style, its script, and D3 as its makers publish it.
"""
