-- depends_on: {{ ref('attribution_markov_channels') }}
{# The conversions whose credits must be written anew: those with a new path, and those whose Markov chain is
   another than the one that fct_attribution was written with. Credits that no chain decides hold no fit_hash.
   The second kind needs no carrying over: until it is rewritten it still differs. #}
{%- set held = held_relation('fct_attribution') if not should_full_refresh() else none %}
with
final as (
    select conversion_id from {{ ref('int_changed_conversions') }}
    {%- if held is not none %}
    union
    select held.conversion_id
    from {{ held }} as held
    left join (
        select distinct
            conversion_type,
            month,
            fit_hash
        from {{ ref('attribution_markov_channels') }}
    ) as fits
        on
            held.conversion_type = fits.conversion_type
            and {{ period_start('month', 'held.converted_on') }} = fits.month
    where
        held.fit_hash is not null
        and coalesce(fits.fit_hash, '') != held.fit_hash
    {%- endif %}
)

select conversion_id
from final
