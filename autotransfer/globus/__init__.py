"""The only room that imports globus_sdk.

login        the app: a person's login with refresh tokens, or a service account's client credentials
failures     one table from Globus errors to our problems and remedies
collections  what the two ends are, whether they are ready, and looking at their folders
tasks        submit, watch and cancel tasks
"""
