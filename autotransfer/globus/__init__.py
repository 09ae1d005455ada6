"""The only package that imports globus_sdk: the login, requests and the documents they carry, errors explained."""
