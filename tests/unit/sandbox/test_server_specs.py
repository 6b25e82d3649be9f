"""Every endpoint's answer is valid under the vendor's own published specification, and has no field beyond
it.

OpenAPI, Swagger and discovery documents are turned into JSON Schema by `strict`; for the ads API, which
publishes protos, field and enum names are looked up in them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from ingestion.klaviyo import source as klaviyo_source
from ingestion.meta_ads import source as meta_ads_source
from sandbox.company import Company
from sandbox.servers import google_ads, hubspot, klaviyo, meta_ads, salesforce
from tests.unit.sandbox.conftest import Client, mailed

# Fields that today's APIs have and the specifications at hand, which are older, lack.
NEWER = {
    "opens": {"proxy_excluded_opens", "proxy_excluded_unique_opens"},
    "members": {"is_proxy_open"},
}


def strict(schema: Any, allowed: frozenset[str] = frozenset()) -> Any:
    """Return an OpenAPI or discovery schema as JSON Schema that knows null and refuses unknown fields."""
    if isinstance(schema, list):
        return [strict(part, allowed) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        ref = schema["$ref"]
        target = ref if ref.startswith("#") else f"#/definitions/{ref}"
        return {"$ref": target.replace("#/components/schemas/", "#/definitions/")}
    kept = {key: value for key, value in schema.items() if key in (
        "type", "properties", "required", "items", "enum", "anyOf", "oneOf", "allOf", "additionalProperties",
        "maximum", "minimum", "maxLength", "pattern")}  # fmt: skip
    for key in ("items", "anyOf", "oneOf", "allOf", "additionalProperties"):
        if key in kept:
            kept[key] = strict(kept[key], allowed)
    if "properties" in kept:
        kept["properties"] = {name: strict(part, allowed) for name, part in kept["properties"].items()}
        kept["properties"].update({name: {} for name in allowed})
        if not any(key in kept for key in ("anyOf", "oneOf", "allOf", "additionalProperties")):
            kept["additionalProperties"] = False
    if schema.get("format") in ("int64", "uint64") and kept.get("type") == "string":
        kept["pattern"] = r"^-?\d+$"
    if schema.get("nullable"):
        return {"anyOf": [kept, {"type": "null"}]}
    return kept


def meta_ads_report(breakdowns: str) -> dict[str, str]:
    """The parameters of a report of the small company's last month."""
    return {
        "level": "ad",
        "time_increment": "1",
        "fields": ",".join(meta_ads.FIELDS),
        "breakdowns": breakdowns,
        "time_range": json.dumps({"since": "2026-06-01", "until": "2026-06-30"}),
        "limit": "500",
    }


@cache
def _document(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


@cache
def _definitions(path: Path, allowed: frozenset[str] = frozenset()) -> dict[str, Any]:
    document = _document(path)
    schemas = document.get("components", {}).get("schemas") or document.get("schemas") or {}
    return {name: strict(schema, allowed) for name, schema in schemas.items()}


def check(value: Any, path: Path, schema: Any, allowed: frozenset[str] = frozenset()) -> None:
    """Raise where the value is not valid under the schema (a name of a definition, or a schema itself)."""
    own = {"$ref": f"#/definitions/{schema}"} if isinstance(schema, str) else strict(schema, allowed)
    jsonschema.Draft7Validator({**own, "definitions": _definitions(path, allowed)}).validate(value)


# ------------------------------------------------------------------------------------------------ Google Ads

ADS_ROWS = "GoogleAdsSearchads360V23Services__SearchAds360Row"
QUERIES = [
    "SELECT campaign.id, ad_group.id, ad_group_ad.ad.id, segments.date, segments.device, "
    "segments.ad_network_type,"
    " metrics.impressions, metrics.clicks, metrics.cost_micros, metrics.conversions, "
    "metrics.conversions_value"
    " FROM ad_group_ad WHERE segments.date BETWEEN '2026-06-20' AND '2026-06-30'",
    "SELECT customer.id, customer.descriptive_name, customer.currency_code, customer.time_zone FROM customer",
    "SELECT campaign.id, campaign.name, campaign.status, campaign.advertising_channel_type, metrics.ctr,"
    " campaign_budget.amount_micros FROM campaign",
    "SELECT ad_group.id, ad_group.name, campaign.id FROM ad_group",
    "SELECT ad_group_ad.ad.id, ad_group_ad.ad.name, ad_group_ad.ad.type, ad_group.id FROM ad_group_ad",
    "SELECT click_view.gclid, click_view.keyword_info.text, segments.date, campaign.id, ad_group.id,"
    " click_view.ad_group_ad FROM click_view WHERE segments.date = '2026-06-20'",
]


@pytest.mark.parametrize("query", QUERIES)
def test_ads_rows_have_the_published_fields_and_types(client: Client, specs: Path, query: str) -> None:
    document = specs / "google_ads" / "searchads360.v23.discovery.trimmed.json"
    answer = client.ads(query).json()
    assert answer["results"], "the query found nothing to validate"
    for row in answer["results"][:300]:
        check(row, document, ADS_ROWS)
    assert set(answer) <= {"results", "fieldMask", "nextPageToken", "totalResultsCount"}
    stream = client.ads(query, "searchStream").json()
    assert [row for chunk in stream for row in chunk["results"]] == answer["results"]


def _proto_fields(text: str) -> set[str]:
    return set(
        re.findall(r"^\s+(?:optional |repeated )?[\w.\n ]+?\s(\w+)\s*=\s*\d+\s*(?:\[|;)", text, re.MULTILINE)
    )


def test_every_ads_field_is_in_the_published_protos(specs: Path) -> None:
    folder = specs / "google_ads" / "v25"
    proto = {"metrics": "common/metrics", "segments": "common/segments"}
    for name in google_ads.FIELDS:
        first, *rest = name.split(".")
        text = (folder / f"{proto.get(first, 'resources/' + first)}.proto").read_text()
        if rest[0] == "ad":
            text, rest = (folder / "resources" / "ad.proto").read_text(), rest[1:]
        assert rest[0] in _proto_fields(text), name


def test_ads_enums_and_errors_are_in_the_published_protos(specs: Path, company: Company) -> None:
    folder = specs / "google_ads" / "v25"

    def names(file: str) -> set[str]:
        return set(re.findall(r"^\s+([A-Z][A-Z_0-9]+) = \d+;", (folder / file).read_text(), re.MULTILINE))

    tables = company.tables
    ads = [row for row in tables["ad_performance"].select(["platform", "device", "network_type"]).to_pylist()
           if row["platform"] == "google_ads"]  # fmt: skip
    assert {row["device"] for row in ads} <= names("enums/device.proto")
    assert {row["network_type"] for row in ads} <= names("enums/ad_network_type.proto")
    campaigns = [row for row in tables["ad_campaigns"].to_pylist() if row["platform"] == "google_ads"]
    assert {row["campaign_type"] for row in campaigns} <= names("enums/advertising_channel_type.proto")
    assert {row["status"] for row in campaigns} <= names("enums/campaign_status.proto")
    code = Path(google_ads.__file__).read_text() + Path(google_ads.gaql.__file__).read_text()
    queries = names("errors/query_error.proto")
    raised = set(re.findall(r'QueryError\(\s*"([A-Z_]+)"', code))
    assert len(raised) > 15
    assert raised <= queries
    for kind in ("request", "authentication", "authorization", "quota", "internal"):
        used = set(re.findall(rf'"{kind}Error",\s*"([A-Z_]+)"', code))
        assert used, kind
        assert used <= names(f"errors/{kind}_error.proto")


# -------------------------------------------------------------------------------------------------- GA4 Data


@pytest.mark.parametrize(
    ("path", "params", "described"),
    [
        ("", {"fields": "id,account_id,name,currency,timezone_name"}, "AdAccount"),
        ("/campaigns", {"fields": "id,name,objective,status,effective_status,account_id"}, "Campaign"),
        ("/adsets", {"fields": "id,name,campaign_id,account_id,effective_status"}, "AdSet"),
        ("/ads", {"fields": "id,name,adset_id,campaign_id,account_id,effective_status"}, "Ad"),
        ("/insights", meta_ads_report("country"), "AdsInsights"),
        ("/insights", meta_ads_report("publisher_platform,impression_device"), "AdsInsights"),
    ],
)
def test_social_ads_have_the_published_fields_and_types(
    client: Client, specs: Path, path: str, params: dict[str, str], described: str
) -> None:
    published = json.loads((specs / "meta" / f"{described}.json").read_text())
    types = {field["name"]: field["type"] for field in published["fields"]}
    # Breakdowns are columns of a report, but listed as a parameter's values.
    types |= dict.fromkeys(params.get("breakdowns", "").split(","), "string")
    document = client.social(path, **params).json()
    records = document.get("data", [document])
    assert records
    actions = {
        field["name"] for field in json.loads((specs / "meta" / "AdsActionStats.json").read_text())["fields"]
    }
    for record in records:
        assert set(record) <= set(types)
        for name, value in record.items():
            if types[name] == "list<AdsActionStats>":
                assert all(set(entry) <= actions for entry in value)
            else:
                assert isinstance(value, str), name


def test_social_ads_parameters_are_the_published_ones(specs: Path) -> None:
    edges = {
        (edge["method"], edge["endpoint"]): {param["name"] for param in edge["params"]}
        for edge in json.loads((specs / "meta" / "AdAccount.json").read_text())["apis"]
        if "endpoint" in edge
    }
    report = set(meta_ads_report("country"))
    assert report <= edges["POST", "insights"] & edges["GET", "insights"]
    assert all("effective_status" in edges["GET", edge] for edge in ("campaigns", "adsets", "ads"))
    values = {
        entry["name"]: set(entry["values"])
        for entry in json.loads((specs / "meta" / "enum_types_trimmed.json").read_text())
    }
    assert set(meta_ads.BREAKDOWNS) <= values["adaccountinsights_breakdowns_enum_param"]
    for table, _, _, statuses in meta_ads_source.EDGES:
        kind = {"campaigns": "Campaign", "ad_sets": "AdSet", "ads": "Ad"}[table.name]
        assert set(statuses) <= values[f"{kind}_effective_status"]


@pytest.mark.parametrize(
    ("path", "name", "newer"),
    [
        ("", "AdAccount", ()),
        ("/adCampaignGroups?q=search&pageSize=100", "CampaignGroup", ("objectiveType",)),
        ("/adCampaigns?q=search&pageSize=100", "Campaign", ()),
        ("/creatives?q=criteria&pageSize=100", "Creative", ("name", "intendedStatus", "account")),
    ],
)
def test_professional_ads_have_the_published_shape(
    client: Client, specs: Path, path: str, name: str, newer: tuple[str, ...]
) -> None:
    document = yaml.safe_load((specs / "linkedin" / "linkedin-marketing-campaigns.yml").read_text())
    published = document["components"]["schemas"][name]["properties"]
    answer = client.professional(f"/rest/adAccounts/508731962{path}").json()
    records = answer.get("elements", [answer])
    assert records
    kinds: dict[str, type] = {"string": str, "integer": int, "boolean": bool, "object": dict}
    for record in records:
        assert set(record) <= {*published, *newer}
        for key, value in record.items():
            if key in published:
                assert isinstance(value, kinds[published[key]["type"]]), key


def test_professional_analytics_have_the_published_shape(client: Client, specs: Path) -> None:
    document = yaml.safe_load((specs / "linkedin" / "linkedin-marketing-reporting-roi.yml").read_text())
    published = document["components"]["schemas"]["ConversionsByMemberCompanyResponse200"]["properties"]
    query = (
        "q=analytics&pivot=CREATIVE&timeGranularity=DAILY"
        "&dateRange=(start:(year:2026,month:6,day:1),end:(year:2026,month:6,day:30))"
        "&accounts=List(urn%3Ali%3AsponsoredAccount%3A508731962)"
        "&fields=dateRange,pivotValues,impressions,costInLocalCurrency,externalWebsiteConversions"
    )
    answer = client.professional(f"/rest/adAnalytics?{query}").json()
    assert set(answer) == set(published)
    assert set(answer["paging"]) == set(published["paging"]["properties"])
    assert answer["elements"]
    for element in answer["elements"]:
        assert isinstance(element["costInLocalCurrency"], str)
        assert isinstance(element["externalWebsiteConversions"], int)
        assert set(element["dateRange"]) == {"start", "end"}
        assert element["pivotValues"][0].startswith("urn:li:sponsoredCreative:")


def test_reports_have_the_published_shape(client: Client, specs: Path) -> None:
    document = specs / "google_analytics" / "analyticsdata.v1beta.discovery.json"
    body = {
        "dateRanges": [{"startDate": "2026-06-01", "endDate": "2026-06-30"}],
        "dimensions": [{"name": "date"}, {"name": "sessionDefaultChannelGroup"}],
        "metrics": [{"name": "sessions"}, {"name": "eventCount"}, {"name": "totalRevenue"}],
        "returnPropertyQuota": True,
        "limit": "7",
    }
    check(body, document, "RunReportRequest")
    answer = client.report(**body).json()
    check(answer, document, "RunReportResponse")
    assert len(answer["rows"]) == 7 < answer["rowCount"]


# ------------------------------------------------------------------------------------------------- Mailchimp

MAIL_PATHS = [
    "/lists", "/lists/{list_id}/members", "/campaigns", "/campaigns/{campaign_id}", "/reports",
    "/reports/{campaign_id}", "/reports/{campaign_id}/email-activity", "/reports/{campaign_id}/sent-to",
    "/reports/{campaign_id}/open-details", "/reports/{campaign_id}/unsubscribed",
    "/reports/{campaign_id}/abuse-reports", "/reports/{campaign_id}/click-details", "/",
]  # fmt: skip


@pytest.mark.parametrize("path", MAIL_PATHS)
def test_mail_answers_have_the_published_shape(
    client: Client, specs: Path, company: Company, path: str
) -> None:
    document = specs / "mailchimp" / "mailchimp_marketing_trimmed.json"
    schema = _document(document)["paths"][path]["get"]["responses"]["200"]["schema"]
    counts: dict[str, int] = {}
    for row in mailed(company, "business", "email_events"):
        if row["event_type"] in ("complained", "unsubscribed"):
            counts[row["campaign_id"]] = counts.get(row["campaign_id"], 0) + 1
            if row["event_type"] == "complained":
                counts[row["campaign_id"]] += 1000
    campaign = max(counts, key=lambda name: counts[name])  # one that has every kind of event
    list_id = mailed(company, "business", "email_lists")[0]["list_id"]
    answer = client.mail(path.format(list_id=list_id, campaign_id=campaign), count=200)
    assert answer.status_code == 200
    newer = frozenset(name for names in NEWER.values() for name in names)
    totals = frozenset({"total_proxy_excluded_opens", "proxy_excluded_opens_count"})
    check(answer.json(), document, schema, newer | totals)
    if "total_items" in answer.json() and not path.endswith("/abuse-reports"):  # rare in a small company
        assert answer.json()["total_items"] > 0, "nothing to validate"


# --------------------------------------------------------------------------------------------------- Klaviyo

EMAIL_ONLY = "equals(messages.channel,'email')"


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("metrics", {}),
        ("campaigns", {"filter": EMAIL_ONLY, "include": "campaign-messages"}),
        ("flows", {}),
        *[
            ("events", {"filter": f'equals(metric_id,"{klaviyo.metric_id(name)}")', "include": "metric"})
            for name in klaviyo_source.METRICS_READ
            if (name, "Klaviyo") in klaviyo.METRICS
        ],
    ],
)
def test_shop_mail_answers_have_the_published_shape(
    client: Client, specs: Path, path: str, params: dict[str, str]
) -> None:
    file = specs / "klaviyo" / "klaviyo_stable_trimmed.json"
    operation = _document(file)["paths"][f"/api/{path}"]["get"]
    (media,) = operation["responses"]["200"]["content"].items()
    answer = client.shop_mail(path, **params)
    assert answer.headers["content-type"] == media[0]
    assert answer.json()["data"] or "Spam" in str(params), "nothing to validate"
    shop_mail_check(answer.json(), file, strict(media[1]["schema"]))


def shop_mail_check(value: Any, file: Path, schema: Any) -> None:
    """Raise where a value is not valid; two variants of one field may fit it."""
    loose = json.dumps({**schema, "definitions": _definitions(file)}).replace('"oneOf"', '"anyOf"')
    jsonschema.Draft7Validator(json.loads(loose)).validate(value)


def test_shop_mail_profiles_have_the_published_shape(client: Client, specs: Path) -> None:
    """The specification adds subscriptions to a profile by a combination that no strict check can read."""
    file = specs / "klaviyo" / "klaviyo_stable_trimmed.json"
    answer = client.shop_mail(
        "profiles", **{"additional-fields[profile]": "subscriptions", "page[size]": "100"}
    )
    profiles = answer.json()["data"]
    assert len(profiles) == 100
    for profile in profiles:
        subscriptions = profile["attributes"].pop("subscriptions")
        shop_mail_check(subscriptions, file, {"$ref": "#/definitions/Subscriptions"})
        plain = {"$ref": "#/definitions/ProfileResponsePluralConversationsObjectResource"}
        shop_mail_check(profile, file, plain)


def test_shop_mail_knows_the_published_parameters_and_limits(specs: Path) -> None:
    document = _document(specs / "klaviyo" / "klaviyo_stable_trimmed.json")
    for name, path in klaviyo.PATHS.items():
        operation = document["paths"][f"/api/{name}"]["get"]
        published = {param["name"]: param["schema"] for param in operation["parameters"]}
        limits = operation["x-klaviyo-ratelimit"]
        assert (f"{path.burst}/s", f"{path.steady}/m") == (limits["burst"], limits["steady"])
        described = " ".join(str(param.get("description")) for param in operation["parameters"])
        for kind, fields in path.fields.items():
            assert set(fields) <= set(published[f"fields[{kind}]"]["items"]["enum"]), (name, kind)
        if path.size:
            size = published["page[size]"]
            assert (path.size, path.most) == (size["default"], size["maximum"]), name
        assert set(path.sorts) <= set(published.get("sort", {}).get("enum", ())), name
        assert set(path.include) <= set(published["include"]["items"]["enum"]), name
        for field, operators in path.filters.items():
            found = re.search(rf"`{re.escape(field)}`: ([`\w, -]+)", described)
            assert found, (name, field)
            assert set(operators) <= set(re.findall(r"`([\w-]+)`", found[1])), (name, field)


# --------------------------------------------------------------------------------------------------- HubSpot


def crm_check(answer: Any, path: Path, name: str) -> None:
    """Check a CRM answer, without the nulls that the live API sends where its specification says text."""

    def without_nulls(value: Any, key: str = "") -> Any:
        if isinstance(value, list):
            return [without_nulls(part) for part in value]
        if isinstance(value, dict):
            loose = key == "properties" or "typeId" in value
            return {k: without_nulls(v, k) for k, v in value.items() if not (loose and v is None)}
        return value

    check(without_nulls(answer), path, name)


def _crm_document(specs: Path, kind: str) -> Path:
    own = specs / "hubspot" / f"crm_{kind}_v3.json"
    return own if own.is_file() else specs / "hubspot" / "crm_objects_v3.json"


@pytest.mark.parametrize("kind", hubspot.OBJECTS)
def test_crm_objects_have_the_published_shape(client: Client, specs: Path, kind: str) -> None:
    document = _crm_document(specs, kind)
    names = ",".join(hubspot.known_properties(kind))
    listed = client.crm(
        f"/crm/v3/objects/{kind}", limit=50, properties=names, propertiesWithHistory=names,
        associations="contacts,companies,deals",
    )  # fmt: skip
    crm_check(listed.json(), document, "CollectionResponseSimplePublicObjectWithAssociationsForwardPaging")
    assert listed.json()["results"]
    ids = [{"id": record["id"]} for record in listed.json()["results"]]
    body = {"inputs": ids, "properties": names.split(","), "propertiesWithHistory": names.split(",")}
    read = client.crm(f"/crm/v3/objects/{kind}/batch/read", body)
    crm_check(read.json(), document, "BatchResponseSimplePublicObject")
    assert len(read.json()["results"]) == len(ids)
    found = client.crm(f"/crm/v3/objects/{kind}/search", {"limit": 3, "properties": ["hs_object_id"]})
    crm_check(found.json(), document, "CollectionResponseWithTotalSimplePublicObject")
    archived = client.crm(f"/crm/v3/objects/{kind}", archived="true", properties=names)
    crm_check(archived.json(), document, "CollectionResponseSimplePublicObjectWithAssociationsForwardPaging")
    wrong = client.crm(f"/crm/v3/objects/{kind}/search", {"filterGroups": [{"filters": [
        {"propertyName": "no_such_property", "operator": "EQ", "value": "1"}]}]})  # fmt: skip
    assert wrong.status_code == 400
    assert {"status", "message", "correlationId", "category"} <= set(wrong.json())


def test_crm_associations_owners_pipelines_properties_have_the_published_shape(
    client: Client, specs: Path
) -> None:
    folder = specs / "hubspot"
    deals = client.crm("/crm/v3/objects/deals", limit=50).json()["results"]
    body = {"inputs": [{"id": deal["id"]} for deal in deals]}
    for to in ("contacts", "companies"):
        linked = client.crm(f"/crm/v4/associations/deals/{to}/batch/read", body)
        assert linked.json()["results"]
        many = "BatchResponsePublicAssociationMultiWithLabel"
        crm_check(linked.json(), folder / "crm_associations_v4.json",
              many + ("WithErrors" if linked.status_code == 207 else ""))  # fmt: skip
    one = client.crm(f"/crm/v4/objects/deals/{deals[0]['id']}/associations/companies")
    crm_check(
        one.json(),
        folder / "crm_associations_v4.json",
        "CollectionResponseMultiAssociatedObjectWithLabelForwardPaging",
    )
    for archived in ("false", "true"):
        owners = client.crm("/crm/v3/owners", archived=archived, limit=3)
        crm_check(owners.json(), folder / "crm_owners_v3.json", "CollectionResponsePublicOwnerForwardPaging")
    pipelines = client.crm("/crm/v3/pipelines/deals")
    crm_check(pipelines.json(), folder / "crm_pipelines_v3.json", "CollectionResponsePipelineNoPaging")
    properties = client.crm("/crm/v3/properties/deals")
    crm_check(properties.json(), folder / "crm_properties_v3.json", "CollectionResponsePropertyNoPaging")


# ------------------------------------------------------------------------------------------------- Salesforce


def test_query_answers_have_the_shape_of_the_published_examples(client: Client, specs: Path) -> None:
    """There is no machine-readable specification: the vendor's own examples say which keys there are."""
    examples = _document(specs / "salesforce" / "official_doc_examples.json")
    single = examples["query_response_single_page"]
    whole = client.sales("query/", q="SELECT Name FROM Account LIMIT 14", version="v68.0").json()
    assert set(whole) == set(single)
    assert (whole["done"], whole["totalSize"]) == (single["done"], single["totalSize"])
    for record in whole["records"]:
        assert set(record) == set(single["records"][0])
        assert set(record["attributes"]) == set(single["records"][0]["attributes"])
        # /services/data/v68.0/sobjects/Account/001D000000IRFmaIAH
        pattern = re.sub(r"Account/\w{18}$", r"Account/001\\w{15}", single["records"][0]["attributes"]["url"])
        assert re.fullmatch(pattern, record["attributes"]["url"])
    first = examples["query_response_first_page"]
    page = client.sales(
        "queryAll", q=f"SELECT {', '.join(salesforce.ENTITIES['Lead'].fields)} FROM Lead"
    ).json()
    assert set(page) == set(first) - {"source"}
    shape = re.sub(r"\w{18}-\d+$", rf"\\w{{18}}-{len(page['records'])}", first["nextRecordsUrl"])
    assert re.fullmatch(shape, page["nextRecordsUrl"])
    following = client.sales(page["nextRecordsUrl"]).json()
    assert len(page["records"]) + len(following["records"]) == page["totalSize"]


# ---------------------------------------------------------------------------------------------------- Stripe


def _objects(client: Client, name: str, **params: Any) -> Iterable[dict[str, Any]]:
    answer = client.billing(f"/v1/{name}", limit=100, **params).json()
    assert answer["object"] == "list"
    assert answer["url"] == f"/v1/{name}"
    return answer["data"]


BILLING = {
    "customers": "customer", "subscriptions": "subscription", "invoices": "invoice", "charges": "charge",
    "refunds": "refund", "products": "product", "prices": "price", "events": "event",
    "credit_notes": "credit_note",
}  # fmt: skip


@pytest.mark.parametrize("name", BILLING)
def test_billing_objects_have_the_published_shape(client: Client, specs: Path, name: str) -> None:
    document = specs / "stripe" / "spec3_2023-09-12_trimmed.json"
    params = {"status": "all"} if name == "subscriptions" else {}
    found = list(_objects(client, name, **params))
    assert found
    for item in found[:40]:
        check(item, document, BILLING[name])
        if name == "events":
            check(item["data"]["object"], document, item["data"]["object"]["object"])
    one = client.billing(f"/v1/{name}/{found[0]['id']}").json()
    assert one == found[0]
    if name == "invoices":
        for line in client.billing(f"/v1/invoices/{found[0]['id']}/lines").json()["data"]:
            check(line, document, "line_item")


def test_billing_errors_have_the_published_shape(client: Client, specs: Path) -> None:
    document = specs / "stripe" / "spec3_2023-09-12_trimmed.json"
    for answer, status in (
        (client.billing("/v1/customers/cus_none"), 404),
        (client.billing("/v1/customers", nonsense=1), 400),
        (client.billing("/v1/customers", limit=101), 400),
        (client.billing("/v1/customers", starting_after="cus_none"), 400),
    ):
        assert answer.status_code == status
        check(answer.json(), document, "error")
