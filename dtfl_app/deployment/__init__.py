"""Bringing up a SuperLink and its gateways: certificates, keys, and a check before a machine joins."""
