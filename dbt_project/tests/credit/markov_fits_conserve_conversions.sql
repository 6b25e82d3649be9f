-- Conservation: each Markov fit holds the touched conversions of its type and month, once; its channels'
-- shares add up to them, and to their value; an effect is a share of the conversions.
with
conversions as (
    select
        first_touches.conversion_type,
        {{ period_start('month', 'first_touches.converted_on') }} as month,
        count(distinct first_touches.conversion_id) as conversions,
        sum(cast(first_touches.value as double)) as value,
        count(*) = count(first_touches.value) as has_all_values
    from {{ ref('fct_attribution') }} as first_touches
    where touch_position = 1
    group by first_touches.conversion_type, {{ period_start('month', 'first_touches.converted_on') }}
),

fits as (
    select
        conversion_type,
        month,
        max(conversions) as conversions,
        max(paths) as paths,
        sum(attributed_conversions) as attributed_conversions,
        sum(removal_share) as removal_share,
        sum(cast(attributed_value as double)) as attributed_value,
        min(removal_effect) as least_effect,
        max(removal_effect) as greatest_effect
    from {{ ref('attribution_markov_channels') }}
    group by conversion_type, month
)

select
    coalesce(conversions.conversion_type, fits.conversion_type) as conversion_type,
    coalesce(conversions.month, fits.month) as month,
    conversions.conversions as expected_conversions,
    fits.conversions,
    fits.attributed_conversions,
    fits.least_effect,
    fits.greatest_effect
from conversions
full outer join fits
    on conversions.conversion_type = fits.conversion_type and conversions.month = fits.month
where
    not coalesce(
        conversions.conversions = fits.conversions
        and fits.paths >= fits.conversions
        and abs(fits.removal_share - 1.0) <= 1e-9
        and abs(fits.attributed_conversions - fits.conversions) <= 1e-9 * fits.conversions
        and fits.least_effect >= 0.0
        and fits.greatest_effect <= 1.0
        and (
            (conversions.has_all_values and abs(fits.attributed_value - conversions.value) <= 0.01)
            or (not conversions.has_all_values and fits.attributed_value is null)
        ),
        false
    )
