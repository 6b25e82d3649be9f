# ruff: noqa: E501 -- one column per line reads better than wrapped meanings
"""Every table that the simulated company delivers: column names, types and meaning.

What belongs here: the shape of the company's records, said once, and nothing about how they come about. The
vendor servers and the file drop render their responses from exactly these tables, so names are stable.

Conventions
- Timestamps are zone-less UTC with microseconds (`timestamp`); dates are the record's own local date (`date`).
- Money is a whole number of minor units (cents, öre) of the row's `currency`, in columns ending in `_minor`.
- `visible_at`: the moment at which the record has arrived at the vendor. A server with clock `as_of` shows a row
  if and only if `visible_at <= as_of`. Where a record changes afterwards, its later states have their own
  timestamps (named in the column's meaning); a state counts if its timestamp is <= as_of.
- Columns whose meaning begins with "Truth:" are never served; they exist for tests and for judging results.
- Ids are text and shaped as the vendors shape theirs.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

_TYPES: dict[str, pa.DataType] = {
    "text": pa.string(),
    "bigint": pa.int64(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
    "json": pa.string(),
}


@dataclass(frozen=True)
class TableSpec:
    """One table: its grain, its columns as (name, type, meaning), and its unique key (empty: rows repeat)."""

    name: str
    grain: str
    key: tuple[str, ...]
    columns: tuple[tuple[str, str, str], ...]

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema of the table."""
        return pa.schema([pa.field(name, _TYPES[kind]) for name, kind, _ in self.columns])

    @property
    def names(self) -> list[str]:
        """The column names in order."""
        return [name for name, _, _ in self.columns]


def _table(name: str, grain: str, key: str, columns: str) -> TableSpec:
    """Read a spec from lines of `name | type | meaning`."""
    parsed = []
    for line in columns.strip().splitlines():
        column, kind, meaning = (part.strip() for part in line.split("|", 2))
        parsed.append((column, kind, meaning))
    return TableSpec(name, grain, tuple(key.split()), tuple(parsed))


_SPECS = (
    # ------------------------------------------------------------------------------------------ advertising
    _table(
        "ad_accounts",
        "one advertising account",
        "platform account_id",
        """
        platform     | text | google_ads, meta, linkedin
        account_id   | text | the platform's account number
        account_name | text | as people named it
        currency     | text | EUR, SEK or USD: the currency of every amount of the account
        time_zone    | text | IANA name; the account's days (ad_performance.date) are days of this zone
        """,
    ),
    _table(
        "ad_campaigns",
        "one campaign",
        "platform account_id campaign_id",
        """
        platform           | text | google_ads, meta, linkedin
        account_id         | text | its account
        campaign_id        | text | the platform's id
        campaign_name      | text | as people named it
        campaign_type      | text | google_ads: SEARCH, PERFORMANCE_MAX, DISPLAY, VIDEO; meta and linkedin: AUCTION
        objective          | text | google_ads: null; meta: OUTCOME_SALES, OUTCOME_LEADS, OUTCOME_AWARENESS; linkedin: LEAD_GENERATION, WEBSITE_VISIT
        channel            | text | our name of the channel: Paid Search, Cross-network, Display, Paid Video, Paid Social
        country            | text | NL, SE or US: the market it aims at
        status             | text | ENABLED or PAUSED (paused campaigns stopped at end_date)
        start_date         | date | first day
        end_date           | date | last day; null while it runs
        daily_budget_minor | bigint | per day, in the account's currency
        utm_campaign       | text | the campaign's name in a well-tagged URL
        """,
    ),
    _table(
        "ad_groups",
        "one ad group (meta: ad set; linkedin: campaign inside a campaign group). Performance Max has none",
        "platform account_id ad_group_id",
        """
        platform      | text | as above
        account_id    | text | its account
        campaign_id   | text | its campaign
        ad_group_id   | text | the platform's id
        ad_group_name | text | as people named it
        status        | text | ENABLED or PAUSED
        """,
    ),
    _table(
        "ads",
        "one ad (linkedin: creative). Performance Max has none",
        "platform account_id ad_group_id ad_id",
        """
        platform    | text | as above
        account_id  | text | its account
        campaign_id | text | its campaign
        ad_group_id | text | its ad group
        ad_id       | text | the platform's id
        ad_name     | text | as people named it
        ad_type     | text | google_ads: RESPONSIVE_SEARCH_AD, RESPONSIVE_DISPLAY_AD, VIDEO_AD; else IMAGE or VIDEO
        final_url   | text | landing page with its utm parameters
        status      | text | ENABLED or PAUSED
        """,
    ),
    _table(
        "ad_performance",
        "date x account x campaign x ad group x ad x network x country x device: the FINAL values. "
        "What a platform shows at a moment is `restatement.restated(table, as_of)`, which a server must call",
        "platform account_id date campaign_id ad_group_id ad_id network_type country device",
        """
        platform                | text | google_ads, meta, linkedin
        date                    | date | day in the account's own time zone
        account_id              | text | its account
        campaign_id             | text | its campaign
        ad_group_id             | text | null for Performance Max
        ad_id                   | text | null for Performance Max
        network_type            | text | google_ads: SEARCH, SEARCH_PARTNERS, CONTENT, YOUTUBE, MIXED; meta: facebook, instagram; linkedin: null
        country                 | text | NL, SE, US: where the person was
        device                  | text | MOBILE, DESKTOP, TABLET
        impressions             | bigint | final
        clicks                  | bigint | final
        spend_minor             | bigint | final, in the account's currency
        conversions             | double | final; claimed by the platform, so claims of platforms overlap
        conversions_value_minor | bigint | final; claimed by the platform
        currency                | text | the account's
        visible_at              | timestamp | one hour after the account's day has ended; restated for 28 days from then on
        """,
    ),
    _table(
        "ad_clicks",
        "one ad click that led to the site (tracked or not)",
        "click_id_type click_id",
        """
        click_id      | text | value of the URL parameter
        click_id_type | text | gclid, gbraid, wbraid, fbclid, li_fat_id
        platform      | text | google_ads, meta, linkedin
        clicked_at    | timestamp | the click
        visible_at    | timestamp | some hours later
        account_id    | text | its account
        campaign_id   | text | its campaign
        ad_group_id   | text | null for Performance Max
        ad_id         | text | null for Performance Max
        network_type  | text | as in ad_performance
        country       | text | NL, SE, US
        device        | text | MOBILE, DESKTOP, TABLET
        keyword       | text | search terms' keyword; null elsewhere
        """,
    ),
    # -------------------------------------------------------------------------------------------------- web
    _table(
        "web_events",
        "one web or product event as collected (a repeated event is a second row with the same event_id)",
        "",
        """
        event_id             | text | the tag's own id; repeats share it
        occurred_at          | timestamp | device time, UTC
        visible_at           | timestamp | arrival; up to 3 days after occurred_at
        event_name           | text | session_start, page_view, view_item, add_to_cart, begin_checkout, purchase, generate_lead, newsletter_sign_up, sign_up, login, activation_complete, pql_reached, start_trial, invite_sent, referral_sign_up, chat_started
        client_id            | text | the cookie (ga client id, `1234567890.1700000000`); a new one at each session where analytics consent is denied
        ga_session_id        | bigint | seconds since 1970 of the session's start; unique only together with client_id
        session_number       | bigint | 1 for the cookie's first session
        user_id              | text | set where the person was logged in
        email                | text | the person's address, where a log-in to the app or the help centre tells it
        tool                 | text | which tool collects the event: site (analytics), app (product analytics), help (the help centre's); a session is one tool's
        page_location        | text | the full URL as the browser sent it, utm parameters and click ids included
        page_title           | text | title
        page_referrer        | text | previous page or the external referrer; null for none
        utm_source           | text | as the session's landing URL carries it, mistakes included; null for none. On every event of the session
        utm_medium           | text | likewise
        utm_campaign         | text | likewise
        utm_content          | text | likewise
        utm_term             | text | likewise
        gclid                | text | likewise
        gbraid               | text | likewise
        wbraid               | text | likewise
        fbclid               | text | likewise
        li_fat_id            | text | likewise
        device_category      | text | mobile, desktop, tablet
        operating_system     | text | iOS, Android, Windows, Macintosh, Linux
        browser              | text | Chrome, Safari, Edge, Firefox, Samsung Internet; bots: HeadlessChrome, Googlebot, AhrefsBot
        language             | text | nl-nl, sv-se, en-us, en-gb
        country              | text | NL, SE, US; null for some
        city                 | text | null for some
        engagement_time_msec | bigint | time on page
        consent_analytics    | text | granted, denied; null where the banner was not answered
        consent_ads          | text | granted, denied; null where the banner was not answered
        traffic_type         | text | `internal` for the company's own people, else null
        transaction_id       | text | purchase: the shop's order id
        value_minor          | bigint | commerce events and start_trial; null elsewhere
        currency             | text | currency of value_minor
        coupon               | text | purchase: code used
        items                | json | commerce events: [{"item_id", "item_name", "item_category", "price_minor", "quantity"}]
        form_id              | text | generate_lead, newsletter_sign_up: the form
        method               | text | sign_up and login: email or google
        plan                 | text | start_trial: plan tried
        referral_code        | text | invite_sent and referral_sign_up
        is_bot               | boolean | Truth: whether the visitor is a machine (its browser betrays it)
        """,
    ),
    # ------------------------------------------------------------------------------------------------ email
    _table(
        "email_lists",
        "one audience",
        "list_id",
        """
        list_id    | text | ten hex digits
        name       | text | name
        mailer     | text | shop or business: each mails with a tool of its own
        created_at | timestamp | creation
        """,
    ),
    _table(
        "email_members",
        "one address in one audience",
        "list_id member_id",
        """
        list_id         | text | audience
        member_id       | text | md5 of the lower-case address, as the vendor does it
        unique_email_id | text | ten hex digits
        email           | text | address as typed
        first_name      | text | merge field
        last_name       | text | merge field
        country         | text | NL, SE, US
        language        | text | nl, sv, en
        source          | text | how it got in: Signup Form, API (orders), API (app)
        subscribed_at   | timestamp | joined (visible from then on)
        unsubscribed_at | timestamp | status becomes unsubscribed; null for never
        cleaned_at      | timestamp | status becomes cleaned after hard bounces; null for never
        """,
    ),
    _table(
        "email_campaigns",
        "one mailing",
        "campaign_id",
        """
        campaign_id  | text | ten hex digits
        list_id      | text | audience
        title        | text | internal name
        subject_line | text | subject, with emoji now and then
        type         | text | regular or automation
        created_at   | timestamp | drafted (visible from then on, status save)
        sent_at      | timestamp | sent (status sent from then on); automations: switched on
        utm_campaign | text | tag on its links
        from_name    | text | sender
        language     | text | nl, sv, en
        """,
    ),
    _table(
        "email_events",
        "one recipient event",
        "event_id",
        """
        event_id        | text | stable id
        campaign_id     | text | mailing
        list_id         | text | audience
        member_id       | text | recipient
        email           | text | recipient's address
        event_type      | text | sent (delivered unless a bounced row follows: the vendor tells no more), bounced, opened, clicked, unsubscribed, complained
        occurred_at     | timestamp | when
        visible_at      | timestamp | arrival; up to 3 days later
        url             | text | clicked: link with its utm parameters
        bounce_type     | text | hard or soft
        ip              | text | opened, clicked: of the opener; machine opens come from 17.x.x.x
        is_machine_open | boolean | opened: whether a mail proxy opened it; null elsewhere
        """,
    ),
    # -------------------------------------------------------------------------------------------------- crm
    _table(
        "crm_owners",
        "one owner",
        "owner_id",
        """
        owner_id    | text | id used in property owner_id
        user_id     | text | the person's user number
        email       | text | work address
        first_name  | text | name
        last_name   | text | name
        team_id     | text | team
        team_name   | text | Sales NL, Sales SE, Sales US, Customer Success, Sales Management
        manager_id  | text | owner_id of the manager; null at the top
        created_at  | timestamp | visible from then on
        archived_at | timestamp | left the company; null while there
        """,
    ),
    _table(
        "crm_pipelines",
        "one stage of one deal pipeline",
        "pipeline_id stage_id",
        """
        pipeline_id    | text | sales, renewals
        pipeline_label | text | label
        pipeline_order | bigint | display order
        stage_id       | text | value of the deal property stage
        stage_label    | text | label
        stage_order    | bigint | display order
        probability    | double | 0..1 set by the administrator
        is_closed      | boolean | closing stage
        is_won         | boolean | won stage
        created_at     | timestamp | creation
        """,
    ),
    _table(
        "crm_objects",
        "one CRM record: company, contact or deal. Its properties are in crm_property_history",
        "object_type object_id",
        """
        object_type    | text | company, contact, deal
        object_id      | text | as the CRM that holds it gives it (territories.py), unique
        crm            | text | the CRM that holds it
        created_at     | timestamp | visible from then on
        deleted_at     | timestamp | archived from then on (only listed among archived records); null for never
        merged_into_id | text | object_id of the record that it was merged into; null for never
        merged_at      | timestamp | from then on it is no record of its own: the survivor carries its id among its merged ids
        """,
    ),
    _table(
        "crm_property_history",
        "one value of one property of one record; the value at a moment is the latest changed_at <= moment. Every "
        "property, unchanging ones too, starts with a row at the record's creation. Properties by type are PROPERTIES",
        "object_type object_id property changed_at",
        """
        object_type | text | company, contact, deal
        object_id   | text | the record
        property    | text | see PROPERTIES
        value       | text | text form: timestamps ISO 8601 with Z, dates ISO, money as decimal text in major units, booleans true or false; null: cleared
        changed_at  | timestamp | from then on (also the record's last-modified time)
        source_type | text | CRM_UI, FORM, INTEGRATION, AUTOMATION_PLATFORM, IMPORT, MERGE_OBJECTS
        source_id   | text | what exactly changed it; null for none
        updated_by  | text | user_id of the owner who did it; null for machines
        """,
    ),
    _table(
        "crm_associations",
        "one link between two records (stored once per direction named here; servers answer both ways)",
        "from_type from_id to_type to_id label",
        """
        from_type  | text | contact, deal
        from_id    | text | id
        to_type    | text | company (from contact or deal), contact (from deal), deal (from deal: renewal -> renewed deal)
        to_id      | text | id
        label      | text | contact->company and deal->company: primary; deal->contact: decision_maker, champion, user, legal, and `primary` for the main one; deal->deal: renews
        created_at | timestamp | linked from then on
        removed_at | timestamp | unlinked from then on (merges move links); null for never
        """,
    ),
    _table(
        "crm_activities",
        "one call, meeting, e-mail, task or social message",
        "activity_id",
        """
        activity_id      | text | numeric text, unique over all types
        activity_type    | text | call, meeting, email, task, social_message
        created_at       | timestamp | logged (visible from then on)
        occurred_at      | timestamp | call, e-mail: when; meeting: its start; task: its due time
        ended_at         | timestamp | meeting: its end; null elsewhere
        direction        | text | inbound or outbound; null for tasks and meetings
        subject          | text | title
        body             | text | text; null for some
        duration_seconds | bigint | call only
        initial_outcome  | text | meeting: SCHEDULED; task: NOT_STARTED; call: the outcome; e-mail and message: SENT
        outcome          | text | meeting: COMPLETED, NO_SHOW, RESCHEDULED, CANCELED; task: COMPLETED; call: CONNECTED, NO_ANSWER, BUSY, LEFT_VOICEMAIL; e-mail: SENT, REPLIED, BOUNCED
        outcome_at       | timestamp | outcome replaces initial_outcome from then on (also the last-modified time)
        owner_id         | text | whose
        contact_id       | text | with whom (as first logged: follow merged_into_id after a merge); null for some
        company_id       | text | null for some
        deal_id          | text | null for some
        is_automated     | boolean | sent by a sequence
        """,
    ),
    # ---------------------------------------------------------------------------------------------- billing
    _table(
        "billing_customers",
        "one billing customer",
        "customer_id",
        """
        customer_id    | text | cus_...
        created_at     | timestamp | visible from then on
        kind           | text | saas or b2b
        email          | text | billing address
        name           | text | person or company
        country        | text | NL, SE, US
        currency       | text | its currency
        user_id        | text | metadata.user_id for saas; null for b2b
        company_name   | text | metadata.company for b2b; null for saas
        crm_company_id | text | metadata.crm_company_id for b2b; null for saas
        is_test        | boolean | livemode false
        """,
    ),
    _table(
        "billing_prices",
        "one price of one product",
        "price_id",
        """
        price_id          | text | price_...
        product_id        | text | prod_...
        product_name      | text | name
        plan              | text | starter, team, business; contract for b2b
        currency          | text | currency
        interval          | text | month or year; null for one-time
        unit_amount_minor | bigint | per seat and interval
        created_at        | timestamp | creation
        """,
    ),
    _table(
        "subscriptions",
        "one subscription: what does not change (its states are in subscription_changes)",
        "subscription_id",
        """
        subscription_id | text | sub_...
        customer_id     | text | customer
        created_at      | timestamp | visible from then on
        billing_anchor  | timestamp | start of the first paid period; periods repeat from it
        currency        | text | currency
        trial_start     | timestamp | null without a trial
        trial_end       | timestamp | null without a trial
        deal_id         | text | null: contracts are invoiced without a subscription
        """,
    ),
    _table(
        "subscription_changes",
        "one state of one subscription, valid from changed_at until the next version",
        "subscription_id version",
        """
        subscription_id      | text | subscription
        version              | bigint | 1, 2, ...
        changed_at           | timestamp | from then on
        status               | text | trialing, active, past_due, canceled
        plan                 | text | starter, team, business
        price_id             | text | price
        quantity             | bigint | seats
        unit_amount_minor    | bigint | per seat and interval
        interval             | text | month or year
        mrr_minor            | bigint | monthly value of the state, seats included; 0 when trialing or canceled
        cancel_at_period_end | boolean | asked to end at the period's end
        canceled_at          | timestamp | when the customer asked (or the machine decided); null before
        ended_at             | timestamp | when it ended; null before
        cancel_reason        | text | cancellation_requested, payment_failed; null before
        cancel_feedback      | text | too_expensive, missing_features, switched_service, unused, other; null for some
        change_type          | text | created, trial_converted, trial_expired, upgraded, downgraded, seats_changed, payment_failed, recovered, cancel_requested, canceled, reactivated
        """,
    ),
    _table(
        "invoices",
        "one invoice",
        "invoice_id",
        """
        invoice_id      | text | in_...
        number          | text | as printed
        customer_id     | text | customer
        subscription_id | text | null for contracts
        deal_id         | text | metadata.deal_id = CRM deal id for contracts; null for subscriptions
        created_at      | timestamp | created and finalised (visible from then on, status open)
        due_at          | timestamp | due
        paid_at         | timestamp | status paid from then on; null for never
        voided_at       | timestamp | status void from then on; null for never
        uncollectible_at | timestamp | status uncollectible from then on; null for never
        billing_reason  | text | subscription_create, subscription_cycle, subscription_update, manual
        currency        | text | currency
        subtotal_minor  | bigint | sum of lines before discount, without tax
        discount_minor  | bigint | discount
        tax_minor       | bigint | tax on top
        total_minor     | bigint | subtotal - discount + tax
        period_start    | timestamp | billed period
        period_end      | timestamp | billed period
        charge_id       | text | ch_... once paid; null if never
        payment_intent_id | text | pi_...
        is_test         | boolean | livemode false
        """,
    ),
    _table(
        "invoice_lines",
        "one line of one invoice",
        "line_id",
        """
        line_id         | text | il_...
        invoice_id      | text | invoice
        line_number     | bigint | 1, 2, ...
        subscription_id | text | null for contracts
        price_id        | text | null for contracts' free lines
        product_id      | text | product
        product_name    | text | name
        description     | text | printed text
        quantity        | bigint | seats or pieces
        amount_minor    | bigint | before discount, without tax; negative for unused time of a proration
        discount_minor  | bigint | discount of the line
        tax_minor       | bigint | tax of the line
        currency        | text | currency
        period_start    | timestamp | billed period
        period_end      | timestamp | billed period
        is_proration    | boolean | from a change within the period
        """,
    ),
    _table(
        "refunds",
        "one refund of an invoice",
        "refund_id",
        """
        refund_id         | text | re_...
        invoice_id        | text | invoice
        charge_id         | text | charge
        payment_intent_id | text | payment
        customer_id       | text | customer
        created_at        | timestamp | visible from then on
        amount_minor      | bigint | positive, tax included
        currency          | text | currency
        reason            | text | requested_by_customer, duplicate, fraudulent; null for some
        status            | text | succeeded
        """,
    ),
    # ------------------------------------------------------------------------------------------------- shop
    _table(
        "shop_products",
        "one article of the web shop",
        "product_id",
        """
        product_id   | text | SKU
        product_name | text | name
        category     | text | desk, floor, pendant, outdoor, accessories
        price_eur_minor | bigint | list price in EUR without tax
        cost_eur_minor  | bigint | what it costs us in EUR
        """,
    ),
    _table(
        "shop_order_lines",
        "one line of one order (a repeated line is a second row with the same line_id)",
        "",
        """
        line_id         | text | order id and line number
        order_id        | text | order
        occurred_at     | timestamp | order placed
        visible_at      | timestamp | in the shop's export; up to 3 days later
        customer_id     | text | the shop's customer number
        customer_email  | text | as typed
        user_id         | text | set where the buyer also had an account and was logged in
        anonymous_id    | text | cookie of the order; null where blocked
        product_id      | text | SKU
        product_name    | text | name
        quantity        | bigint | pieces
        amount_minor    | bigint | after discount, without tax and shipping
        discount_minor  | bigint | of the line
        tax_minor       | bigint | of the line
        shipping_minor  | bigint | on the order's first line, else 0
        cost_minor      | bigint | cost of goods, in the order's currency
        currency        | text | EUR, SEK, USD
        country         | text | NL, SE, US
        is_test         | boolean | orders of our own people
        """,
    ),
    _table(
        "shop_refund_lines",
        "one refunded line",
        "refund_line_id",
        """
        refund_line_id    | text | id
        original_order_id | text | order
        original_line_id  | text | line
        occurred_at       | timestamp | refunded
        visible_at        | timestamp | in the shop's export
        customer_id       | text | the shop's customer number
        customer_email    | text | as typed
        product_id        | text | SKU
        product_name      | text | name
        quantity          | bigint | pieces sent back
        amount_minor      | bigint | negative; without tax and shipping
        tax_minor         | bigint | negative
        cost_minor        | bigint | negative where the article is back in stock
        currency          | text | EUR, SEK, USD
        country           | text | NL, SE, US
        """,
    ),
    # ----------------------------------------------------------------------------------- what files carry
    _table(
        "costs",
        "one cost item that is no media",
        "cost_id",
        """
        cost_id      | text | id
        period_start | date | first day
        period_end   | date | last day
        cost_type    | text | agency, tools, events, salaries
        amount_minor | bigint | amount
        currency     | text | EUR, SEK, USD
        channel      | text | channel it belongs to; null for all
        campaign_id  | text | event or mailing it paid for; null for most
        description  | text | free text
        visible_at   | timestamp | booked
        """,
    ),
    _table(
        "offline_touches",
        "one person at one event, webinar, mailing or referral",
        "touch_id",
        """
        touch_id      | text | id
        occurred_at   | timestamp | when
        visible_at    | timestamp | list handed in
        touch_type    | text | event, webinar, direct_mail, partner_referral
        contact_id    | text | CRM contact id where known
        email         | text | address where known
        company_id    | text | CRM company id where known
        campaign_id   | text | offline campaign
        campaign_name | text | its name
        status        | text | attended, registered, no_show, sent, referred
        country       | text | NL, SE, US
        """,
    ),
    _table(
        "consent_events",
        "one answer to one consent question",
        "consent_event_id",
        """
        consent_event_id | text | id
        occurred_at      | timestamp | when
        visible_at       | timestamp | exported
        identifier_type  | text | cookie (the web client id) or email
        identifier       | text | value
        purpose          | text | analytics, ads, marketing_email
        state            | text | granted, denied, withdrawn
        mailer           | text | marketing_email: shop or business, whose tool was told; null for others
        """,
    ),
    _table(
        "survey_responses",
        "one answer",
        "response_id",
        """
        response_id | text | id
        occurred_at | timestamp | when
        visible_at  | timestamp | exported
        email       | text | who
        contact_id  | text | CRM contact where known
        survey      | text | nps, csat or how_did_you_hear
        score       | double | nps: 0..10; csat: 1..5; null elsewhere
        answer      | text | how_did_you_hear: what they say; else remark or null
        """,
    ),
    _table(
        "incrementality_tests",
        "one past geo or holdout test of one channel",
        "test_id",
        """
        test_id                 | text | id
        channel                 | text | channel
        conversion_type         | text | what was counted
        date_from               | date | first day
        date_to                 | date | last day
        method                  | text | geo_holdout, conversion_lift, switch_off
        incremental_conversions | double | estimate (the truth of those days plus noise)
        ci_low                  | double | 95 % interval
        ci_high                 | double | 95 % interval
        visible_at              | timestamp | reported
        """,
    ),
    _table(
        "fx_rates",
        "business day x currency pair",
        "date currency_from currency_to",
        """
        date          | date | business day
        currency_from | text | EUR, SEK, USD
        currency_to   | text | EUR, SEK, USD
        rate          | double | units of currency_to for one of currency_from, 8 decimals
        visible_at    | timestamp | published at 14:15 UTC of the day
        """,
    ),
    # ------------------------------------------------------------------------------------- the company's plans
    _table(
        "plan_quotas",
        "owner or team x month x metric",
        "holder_type holder_id period_start metric",
        """
        holder_type  | text | owner or team
        holder_id    | text | owner_id or team_name
        period_start | date | first of the month
        period_end   | date | last of the month
        metric       | text | bookings
        amount_minor | bigint | target
        currency     | text | EUR, SEK, USD
        """,
    ),
    _table(
        "plan_budgets",
        "channel x month",
        "channel period_start",
        """
        channel      | text | our channel name
        period_start | date | first of the month
        period_end   | date | last of the month
        amount_minor | bigint | planned media spend
        currency     | text | EUR
        """,
    ),
)

TABLES: dict[str, TableSpec] = {spec.name: spec for spec in _SPECS}

# The properties of CRM records (crm_property_history.property) with their meaning.
PROPERTIES: dict[str, dict[str, str]] = {
    "company": {
        "name": "legal name",
        "domain": "web domain",
        "industry": "software, architecture, hospitality, retail, construction, media, education",
        "employee_count": "whole number",
        "country": "NL, SE, US",
        "city": "city",
        "owner_id": "crm_owners.owner_id",
        "is_partner": "true for partners, else false",
    },
    "contact": {
        "email": "address as typed",
        "first_name": "may be null, hold emoji or non-Latin letters",
        "last_name": "likewise",
        "phone": "international or local notation; may be null",
        "country": "NL, SE, US",
        "job_title": "may be null",
        "lifecycle_stage": "subscriber, lead, marketingqualifiedlead, salesqualifiedlead, opportunity, customer",
        "lead_status": "NEW, OPEN, IN_PROGRESS, UNQUALIFIED, RECYCLED",
        "disqualified_reason": "no_budget, no_fit, no_response, student, competitor; null otherwise",
        "owner_id": "crm_owners.owner_id; null before assignment",
        "original_source": "PAID_SEARCH, PAID_SOCIAL, ORGANIC_SEARCH, SOCIAL_MEDIA, REFERRALS, EMAIL_MARKETING, "
        "DIRECT_TRAFFIC, OFFLINE, AI_REFERRALS, OTHER_CAMPAIGNS",
        "self_reported_source": "free answer to 'how did you hear about us'; null for most",
        "ga_client_id": "the web cookie that the form carried along; null where there was none",
        "user_id": "the app's user id; null for those without an account",
        "bant_budget": "true or false; null until asked",
        "bant_authority": "true or false; null until asked",
        "bant_need": "true or false; null until asked",
        "bant_timeline": "true or false; null until asked",
        "marketing_consent": "true or false",
    },
    "deal": {
        "name": "name",
        "pipeline": "sales or renewals",
        "stage": "stage_id of crm_pipelines",
        "amount": "decimal text in the deal's currency; may be null at first",
        "arr": "annual recurring part, decimal text; may be null",
        "currency": "EUR, SEK, USD",
        "close_date": "expected, after closing actual; ISO date",
        "closed_at": "timestamp once closed; null while open",
        "owner_id": "crm_owners.owner_id",
        "opportunity_type": "new_business, renewal, expansion",
        "forecast_category": "pipeline, best_case, commit, closed, omitted",
        "next_step": "free text; null for some",
        "lost_reason": "price, competitor, no_decision, timing, missing_feature; null while open and for some lost deals",
        "won_reason": "design, price, service, integration; null for some",
        "competitor": "name as people write it; null for many",
        "sourced_by": "marketing, sales, partner, product, success; null for some",
        "partner_company_id": "object_id of the referring partner company; null for most",
        "contract_start": "ISO date once won",
        "contract_end": "ISO date once won",
        "renewed_deal_id": "object_id of the deal that a renewal renews; null elsewhere",
    },
}
