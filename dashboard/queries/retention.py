"""The questions of the retention page: who stays, how MRR moves, what is due, what a customer is worth."""

from __future__ import annotations

from datetime import date

from dashboard.data import Row, Rows, query
from dashboard.filters import Period
from dashboard.queries import WHOLE, Cut, number

BASES = {"customers": "Paying customers", "revenue": "Revenue", "active_users": "Active users"}
BRIDGE_STEPS = (
    ("new_mrr", "New"),
    ("expansion_mrr", "Expansion"),
    ("reactivation_mrr", "Reactivation"),
    ("contraction_mrr", "Contraction"),
    ("churned_mrr", "Churned"),
)
# What a customer can be split by, and where that stands.
CUSTOMER_SEGMENTS = {"plan": "plan", "channel": "first_touch_channel", "country": "country"}


def cohorts(
    *,
    basis: str,
    grain: str,
    since: date,
    until: date,
    cut: Cut = WHOLE,
) -> Rows:
    """The cohorts that began in a period, a row for each period since."""
    return query(
        """
        select
            cohort_period, periods_since, period_start, cohort_size, active, revenue, refunds,
            revenue_restated, retention_rate, is_complete
        from retention.retention_cohorts
        where basis = ? and period_grain = ? and segment = ? and segment_value = ?
            and cohort_period between ? and ?
        order by cohort_period, periods_since
        """,
        [basis, grain, *cut, since, until],
    )


def retention_curve(
    *,
    basis: str,
    grain: str,
    since: date,
    until: date,
    segment: str,
) -> Rows:
    """Retention by periods since, for every value of a segment: sums over the cohorts that have come so far.

    Numerator and denominator are of the same cohorts, those whose period is over; for revenue the denominator
    is what the same cohorts paid in their first period.
    """
    return query(
        """
        with cohorts as (
            select
                segment_value, cohort_period, periods_since, cohort_size, active, revenue, is_complete,
                first_value(revenue) over (
                    partition by segment_value, cohort_period order by periods_since
                ) as first_revenue
            from retention.retention_cohorts
            where basis = ? and period_grain = ? and segment = ? and cohort_period between ? and ?
        )
        select
            segment_value, periods_since,
            count(*) as cohorts,
            sum(cohort_size) as cohort_size,
            sum(active) as active,
            sum(revenue) as revenue,
            case
                when ? = 'revenue' then sum(revenue) / nullif(sum(first_revenue), 0)
                else sum(active) * 1.0 / nullif(sum(cohort_size), 0)
            end as retention_rate
        from cohorts
        where is_complete
        group by segment_value, periods_since
        order by segment_value, periods_since
        """,
        [basis, grain, segment, since, until, basis],
    )


def mrr_months(*, period: Period, cut: Cut = WHOLE) -> Rows:
    """Movements of recurring revenue month by month, of all or those of one plan, channel or country."""
    column = CUSTOMER_SEGMENTS.get(cut.segment)
    join = (
        "left join retention.customer_segments as customers on movements.customer_id = customers.customer_id"
        if column
        else ""
    )
    condition = f"and coalesce(customers.{column}, '(not set)') = ?" if column else ""
    return query(
        f"""
        select
            movements.month,
            bool_and(movements.is_complete) as is_complete,
            sum(movements.opening_mrr) as opening_mrr,
            sum(movements.new_mrr) as new_mrr,
            sum(movements.expansion_mrr) as expansion_mrr,
            sum(movements.reactivation_mrr) as reactivation_mrr,
            sum(movements.contraction_mrr) as contraction_mrr,
            sum(movements.churned_mrr) as churned_mrr,
            sum(movements.closing_mrr) as closing_mrr,
            sum(case when movements.closing_mrr > 0 then 1 else 0 end) as closing_customers
        from retention.mrr_movements as movements
        {join}
        where movements.month between ? and ? {condition}
        group by movements.month
        order by movements.month
        """,
        [period.start, period.end, *([cut.value] if column else [])],
    )


def mrr_bridge(months: Rows) -> Row:
    """From the first month's opening to the last one's closing: movements add up, ends do not."""
    if not months:
        return {}
    steps = {column: sum(number(month[column]) for month in months) for column, _ in BRIDGE_STEPS}
    return {"opening_mrr": months[0]["opening_mrr"], **steps, "closing_mrr": months[-1]["closing_mrr"]}


def churn_months(*, period: Period) -> Rows:
    """Churn and retention of recurring revenue and of customers, month by month."""
    return query(
        """
        select
            month, is_complete, opening_customers, new_customers, reactivated_customers, churned_customers,
            churned_customers_voluntary, churned_customers_involuntary, closing_customers,
            customer_churn_rate,
            opening_mrr, closing_mrr, churned_mrr, churned_mrr_voluntary, churned_mrr_involuntary,
            revenue_churn_rate, revenue_churn_rate_voluntary, revenue_churn_rate_involuntary,
            net_revenue_retention, gross_revenue_retention, customer_churn_rate_12m, revenue_churn_rate_12m,
            net_revenue_retention_12m, gross_revenue_retention_12m
        from retention.churn
        where month between ? and ?
        order by month
        """,
        [period.start, period.end],
    )


def standing() -> Rows:
    """The latest month that is over, and the one before it; at most two rows, the latest first."""
    return query(
        """
        select
            month, closing_mrr, closing_customers, net_revenue_retention_12m, gross_revenue_retention_12m,
            customer_churn_rate_12m, revenue_churn_rate_12m, churned_mrr
        from retention.churn
        where is_complete
        order by month desc
        limit 2
        """,
        [],
    )


def renewal_months(*, period: Period) -> Rows:
    """What was due in each month of a period and what became of it, by status; amounts of the terms."""
    return query(
        """
        select
            due_month, status,
            count(*) as renewals,
            sum(amount_due) as amount_due,
            sum(renewed_amount) as renewed_amount,
            sum(case when is_at_risk then amount_due else 0 end) as amount_at_risk
        from retention.renewals
        where due_month between ? and ?
        group by due_month, status
        order by due_month, status
        """,
        [period.start, period.end],
    )


def renewals_open(*, only_at_risk: bool = False) -> Rows:
    """Open renewals that are due by now or within the notice, those at risk first, then by day."""
    return query(
        """
        select
            renewals.renewal_type,
            coalesce(accounts.account_name, accounts.domain, renewals.customer_id) as customer,
            coalesce(owners.owner_name, '(not set)') as owner_name, renewals.plan, renewals.due_on,
            renewals.days_to_due, renewals.amount_due, renewals.is_at_risk, renewals.risk_reasons,
            renewals.last_seen_on
        from retention.renewals as renewals
        left join core.dim_accounts as accounts on renewals.account_id = accounts.account_id
        left join core.dim_owners as owners on renewals.owner_id = owners.owner_id
        where renewals.status = 'open' and renewals.is_due and (not ? or renewals.is_at_risk)
        order by renewals.is_at_risk desc, renewals.due_on, renewals.amount_due desc
        """,
        [only_at_risk],
    )


def ltv_to_cac(*, model: str, date_basis: str, period: Period, only_mature: bool = True) -> Rows:
    """What a new customer costs and is worth, by channel, over the (mature) weeks or months of a period.

    Quotients are of sums: lifetime value of all these customers over what was spent to win them. NULL where
    the worth of a month's customers is unknown, and LTV to CAC where nothing was spent.
    """
    return query(
        """
        with months as (
            select
                channel, new_customers, media_spend, loaded_cost, gross_margin_to_date, customer_months,
                case when new_customers > 0 then ltv * new_customers else 0 end as ltv_total,
                case when new_customers > 0 and ltv is null then 1 else 0 end as is_unknown
            from retention.channel_economics
            where period_grain = ? and model = ? and date_basis = ? and (is_mature or not ?)
                and period_start between ? and ?
        )
        select
            channel,
            sum(new_customers) as new_customers,
            sum(media_spend) as media_spend,
            sum(loaded_cost) as loaded_cost,
            sum(loaded_cost) / nullif(sum(new_customers), 0) as cac_loaded,
            case when max(is_unknown) = 0 then sum(ltv_total) end / nullif(sum(new_customers), 0) as ltv,
            case when max(is_unknown) = 0 then sum(ltv_total) end / nullif(sum(loaded_cost), 0) as ltv_to_cac,
            sum(loaded_cost) / nullif(sum(new_customers), 0)
            / nullif(sum(gross_margin_to_date) / nullif(sum(customer_months), 0), 0) as payback_months
        from months
        group by channel
        having sum(new_customers) > 0 or sum(loaded_cost) > 0
        order by new_customers desc, channel
        """,
        [period.grain, model, date_basis, only_mature, period.start, period.end],
    )


def customer_segments(*, business_model: str | None = None) -> Rows:
    """Customers by RFM segment: how many, and what they brought; of one business model or of all."""
    return query(
        """
        select
            segment,
            count(*) as customers,
            sum(monetary_value) as revenue,
            sum(current_mrr) as current_mrr,
            median(recency_days) as median_recency_days,
            sum(case when is_active then 1 else 0 end) as active_customers
        from retention.customer_segments
        where (? is null or business_model = ?)
        group by segment
        order by revenue desc, segment
        """,
        [business_model, business_model],
    )


def business_models() -> list[str]:
    """The business models that have customers, the largest first."""
    return query(
        "select business_model from retention.customer_segments"
        " group by business_model order by count(*) desc, business_model"
    ).column("business_model")


def lifetime_value(*, by: str, business_model: str | None = None) -> Rows:
    """Lifetime value by channel, country or plan, with its backtest; margin and revenue stand apart.

    Raises:
        KeyError: `by` is none of CUSTOMER_SEGMENTS.
    """
    column = CUSTOMER_SEGMENTS[by]
    return query(
        f"""
        select
            {column} as name, value_basis,
            count(*) as customers,
            sum(realised_value) / count(*) as realised_value,
            sum(expected_value) / count(*) as expected_value,
            sum(lifetime_value) / count(*) as lifetime_value,
            sum(backtest_expected_value) / nullif(sum(backtest_actual_value), 0) - 1 as backtest_error
        from retention.customer_lifetime_value
        where (? is null or business_model = ?)
        group by {column}, value_basis
        order by customers desc, name, value_basis
        """,
        [business_model, business_model],
    )
