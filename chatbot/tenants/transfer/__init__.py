"""Bulk transfer: clients as one document out of an installation, and into one.

Reading (`tree`, `yaml_text`, `json_text`, `csv_rows`, `checking`, `reading`): a text as checked clients, each value with its line.
State (`state`): clients as they are, as documents. Writing (`writing`): documents as text.
Planning (`steps`, `planning`): what an import would do; `telling` says it in words. Applying (`applying`): doing just that, or nothing.
"""
