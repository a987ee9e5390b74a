"""Site schemas of plants that this package knows: C-Town's channels, in two layouts of file."""

from __future__ import annotations

from collections.abc import Mapping

from dtfl_app.sites.site_schema import LabelColumn, SiteSchema
from twin.ctown.channels import SCADA

__all__ = ["KNOWN_SCHEMAS"]

#: Name -> schema: "ctown" for files in labelled-series columns, such as the twin's; "batadal" for
#: the benchmark's own files.
KNOWN_SCHEMAS: Mapping[str, SiteSchema] = {
    "ctown": SiteSchema(SCADA, labels=LabelColumn("label"), twin="ctown"),
    "batadal": SiteSchema(
        SCADA,
        time="DATETIME",
        time_formats=("%d/%m/%y %H", "ISO8601"),
        labels=LabelColumn("ATT_FLAG", unlabelled=(-999.0,)),
        twin="ctown",
    ),
}
