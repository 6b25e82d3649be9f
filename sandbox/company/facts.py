"""What is so about the company: markets, channels and their true effects, rates, prices, people, products.

What belongs here: every constant that shapes the simulated company, and no code. Rates were chosen to be
believable to someone who runs revenue operations; the true effects are the answer key for judging
attribution.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

# ------------------------------------------------------------------------------------------- time and size


@dataclass(frozen=True)
class Scale:
    """How big a company to generate: first and last day, and visitors that arrive in between."""

    first_day: date
    last_day: date
    visitors: int


SCALES = {
    "small": Scale(date(2026, 5, 2), date(2026, 6, 30), 2_000),
    "medium": Scale(date(2025, 4, 1), date(2026, 6, 30), 60_000),
    "large": Scale(date(2025, 4, 1), date(2026, 6, 30), 600_000),
}
LEAD_IN_DAYS = 420  # behaviour before the first day: deals, contracts and subscriptions that are alive on it
LEAD_IN_DENSITY = (0.6, 0.6, 1.2)  # visitors a day in the lead-in relative to the window, by kind of interest
YEARLY_GROWTH = 0.35
WEEKDAY_SHOP = (1.0, 0.95, 0.95, 1.0, 1.05, 1.15, 1.25)  # Monday first
WEEKDAY_WORK = (1.2, 1.3, 1.25, 1.2, 0.95, 0.25, 0.3)
MONTH_SHOP = (1.05, 0.9, 0.9, 0.85, 0.8, 0.75, 0.75, 0.85, 1.05, 1.2, 1.55, 1.45)  # lamps sell in the dark
MONTH_WORK = (1.05, 1.1, 1.1, 1.0, 1.0, 0.95, 0.7, 0.75, 1.1, 1.15, 1.1, 0.8)

# ------------------------------------------------------------------------------------------------- markets
MARKETS = ("NL", "SE", "US")
MARKET_WEIGHTS = (0.5, 0.3, 0.2)
CURRENCIES = ("EUR", "SEK", "USD")
CURRENCY_PER_EUR = (1.0, 11.2, 1.1)  # for list prices; the daily rates are in fx_rates
TAX_RATES = (0.21, 0.25, 0.07)
UTC_OFFSET_HOURS = (1.5, 1.5, -4.5)  # mean, for the hour of the day at which people are awake
LANGUAGES = ("nl", "sv", "en")
BROWSER_LANGUAGES = (("nl-nl", "en-gb"), ("sv-se", "en-gb"), ("en-us", "en-us"))
CITIES = (
    ("Amsterdam", "Rotterdam", "Utrecht", "Eindhoven", "Groningen"),
    ("Stockholm", "Göteborg", "Malmö", "Uppsala", "Umeå"),
    ("New York", "Chicago", "Austin", "Portland", "Boston"),
)

# --------------------------------------------------------------------------------------- kinds of interest
SHOP, SAAS, B2B = 0, 1, 2
KIND_WEIGHTS = (0.60, 0.27, 0.13)

# ------------------------------------------------------------------------------------------------ channels
CHANNELS = (
    "Paid Search",
    "Cross-network",
    "Display",
    "Paid Video",
    "Paid Social",
    "Organic Search",
    "Organic Social",
    "Referral",
    "AI Assistant",
    "Email",
    "Affiliates",
    "Direct",
    "Event",
    "Webinar",
    "Direct Mail",
    "Partner",
    "Outbound Sales",
)
CHANNEL = {name: code for code, name in enumerate(CHANNELS)}
PAID_CHANNELS = 5  # the first five have ad spend
FIRST_OFFLINE = CHANNEL["Event"]  # from here on a touch is no visit

# First-touch mix by kind of interest (columns: CHANNELS).
FIRST_TOUCH_MIX = (
    (21, 13, 5, 4, 19, 18, 5, 4, 2, 0, 3, 6, 0, 0, 0, 0, 0),
    (22, 4, 4, 4, 17, 24, 5, 7, 6, 0, 2, 5, 0, 0, 0, 0, 0),
    (18, 2, 3, 3, 20, 18, 2, 5, 4, 0, 0, 5, 7, 4, 1, 3, 5),
)
# Later touches: more direct, brand and retargeting. E-mail comes with knowing the address (below).
LATER_TOUCH_MIX = (
    (18, 7, 12, 2, 13, 14, 3, 2, 1, 0, 6, 22, 0, 0, 0, 0, 0),
    (18, 3, 10, 2, 12, 18, 3, 4, 4, 0, 3, 23, 0, 0, 0, 0, 0),
    (14, 1, 6, 2, 13, 14, 2, 4, 3, 0, 0, 17, 5, 8, 2, 3, 6),
)
# People with high intent click on coupon pages and retargeting shortly before they buy anyway: these channels
# harvest. The weight of the channel is multiplied by propensity to this power.
HARVEST_POWER = {"Affiliates": 1.2, "Display": 0.5, "Direct": 0.3}

# The true effect of one touch on the hazard of converting, in units of what a visit without any effect adds.
# Zero is the truth for Affiliates (coupon pages) and for Direct.
TRUE_EFFECTS = {
    "Paid Search": (0.7, 0.7, 0.9),
    "Cross-network": (1.0, 0.6, 0.4),
    "Display": (0.15, 0.15, 0.15),
    "Paid Video": (0.6, 0.5, 0.5),
    "Paid Social": (1.1, 0.9, 1.1),
    "Organic Search": (0.8, 1.0, 1.0),
    "Organic Social": (0.5, 0.5, 0.4),
    "Referral": (1.0, 1.6, 1.2),
    "AI Assistant": (1.0, 1.3, 1.2),
    "Email": (1.2, 1.0, 0.9),
    "Affiliates": (0.0, 0.0, 0.0),
    "Direct": (0.0, 0.0, 0.0),
    "Event": (0.0, 0.0, 3.0),
    "Webinar": (0.0, 0.0, 2.5),
    "Direct Mail": (0.0, 0.0, 0.8),
    "Partner": (0.0, 0.0, 4.0),
    "Outbound Sales": (0.0, 0.0, 1.6),
}
VISIT_HAZARD = (0.0125, 0.024, 0.046)  # of one visit without effect, by kind (buy, sign up, become a lead)
REPEAT_FACTOR = 11.0  # how much likelier a visit of somebody who has bought ends in an order
PROPENSITY_SIGMA = 0.7
TOUCH_CONTINUATION = (0.42, 0.48, 0.64)  # probability of one more touch, by kind
TOUCH_GAP_MEDIAN_DAYS = (3.0, 3.5, 6.0)
TOUCH_GAP_SIGMA = 1.2
MAX_TOUCHES = 25
MAX_ORDERS = 12
LOYAL_VISITS_MEAN = (4.0, 0.0, 0.0)  # further visits of a buyer in the year after the first order
NEWSLETTER_SHARE = 0.035  # of visitors, joins at the first web visit

# How deep the visits of shoppers go who do not order (each share includes the next); orders go all the way.
PRODUCT_VIEW_SHARE, CART_SHARE, CHECKOUT_SHARE = 0.52, 0.085, 0.04
# Members of the shop's list who leave a cart are reminded of it: once in a quarter, some hours later.
CART_REMINDER_HOURS = 4
CART_REMINDER_CLICK_RATE = 0.22
CART_REMINDER_LAG_HOURS = 9.0  # from the mail to the click, on average
CART_REMINDER_BOOST = 3.0  # the effect of that mail relative to any other mail

# How much an effect lifts the later steps: rate = base * exp(LIFT * (stock - mean stock)).
STOCK_LIFT = 0.12
RATE_CAP = 0.95
LEAD_TO_MQL = 0.40
MQL_TO_SQL = 0.45
SQL_TO_OPPORTUNITY = 0.75
OPPORTUNITY_TO_WON = 0.27
FIRST_CALL_MEDIAN_HOURS = 6.0  # from MQL to the first call; the tail breaks the promise of a day
CALL_FORGOTTEN_SHARE = 0.12  # of MQLs that do not become SQL
MQL_DELAY_DAYS = 2.0
SQL_DELAY_DAYS = 5.0
OPPORTUNITY_DELAY_DAYS = 3.0
SALES_CYCLE_DAYS = (20, 50, 120)  # shortest, median, longest
RECYCLED_SHARE = 0.12  # of MQLs that sales returned and that became MQL again
USER_COMPANY_SHARE = 0.45  # of app visitors work at a company of their own account
PQL_TO_SQL = 0.6  # of product-qualified users at a company: sales accepts them
PQL_SQL_DELAY_DAYS = 2.0
PQL_DEAL_FACTOR = 0.6  # the amount of a deal that comes from the app, relative to others
COMPANY_SIZE_WEIGHTS = (0.5, 0.27, 0.15, 0.08)  # 1..4 people of one company look at us

TRIAL_AT_SIGN_UP = 0.55
ACTIVATION_RATE = 0.55
PQL_RATE = 0.45  # of the activated
FREE_TO_TRIAL_RATE = 0.35  # of PQLs without a trial
TRIAL_TO_PAID = 0.25
TRIAL_DAYS = 14
MONTHLY_CHURN = 0.03
INVOLUNTARY_SHARE = 0.25
MONTHLY_UPGRADE = 0.02
MONTHLY_SEAT_GROWTH = 0.035
MONTHLY_CONTRACTION = 0.008
REACTIVATION_SHARE = 0.12
YEARLY_BILLING_SHARE = 0.18
INVITER_SHARE = 0.35  # of activated users
REFERRED_SHARE = 0.5  # of sign-ups that came by Referral, Direct or Organic Social

# ---------------------------------------------------------------------------------------------- untidiness
REPEATED_EVENT_SHARE = 0.012
HELP_CENTRE_SHARE = 0.15  # of plain log-ins are to the help centre, which has a tool of its own
LATE_EVENT_SHARE = 0.03  # 1 hour to 3 days late
UTM_MISSING_SHARE = 0.10  # of tagged visits: utm lost, the click id stays
UTM_MISWRITTEN_SHARE = 0.06  # case, typos, spaces
CLICK_ID_MISSING_SHARE = 0.08  # of paid visits: click id stripped by the browser
CONSENT_DENIED_SHARE = 0.16
CONSENT_UNANSWERED_SHARE = 0.06
CONSENT_ADS_DENIED_SHARE = 0.10  # of those who accept analytics
CONSENT_WITHDRAWN_SHARE = 0.02
SECOND_DEVICE_SHARE = 0.28
SHARED_DEVICE_SHARE = 0.02  # of people who use another person's device
SHARED_LOGIN_SHARE = 0.10  # of customers and users who use another customer's or user's device
KIOSK_ORDER_SHARE = 0.08  # of Dutch orders placed on the tablet in the showroom
BOT_SESSION_SHARE = 0.03
INTERNAL_SESSION_SHARE = 0.01
MACHINE_OPEN_SHARE = 0.35  # of delivered mails that a mail proxy opens
UNTRACKED_CLICK_SHARE = 0.18  # of ad clicks that never show up as a visit
TEST_ORDER_SHARE = 0.006
REPEATED_LINE_SHARE = 0.01  # lines that the shop exports twice
ORDER_COOKIE_MISSING_SHARE = 0.08
ORDER_REFUND_SHARE = 0.06
INVOICE_REFUND_SHARE = 0.02
CONTACT_DUPLICATE_SHARE = 0.05
CONTACT_DELETED_SHARE = 0.015
COMPANY_DUPLICATE_SHARE = 0.08  # of companies with several contacts
DEAL_DUPLICATE_SHARE = 0.04
DEAL_DELETED_SHARE = 0.02
CLOSE_DATE_NEGLECTED_SHARE = 0.15  # of deals whose close date nobody moves
LOST_REASON_MISSING_SHARE = 0.2
COMPETITOR_KNOWN_SHARE = 0.4  # of deals; far more of those that a competitor won
COMPETITOR_MISWRITTEN_SHARE = 0.12
COUNTRY_MISSING_SHARE = 0.02
COMPETITORS_MISWRITTEN = ("LUMENHAUS", "Nordglow ", "Bright Works")
UTM_TYPOS = {"facebook": "facebok", "google": "gogle", "linkedin": "linkedn", "newsletter": "newsleter"}

# --------------------------------------------------------------------------------------------- advertising
GOOGLE_ACCOUNTS = (
    ("4815162342", "Fjordlight NL", "EUR", "Europe/Amsterdam"),
    ("4815162343", "Fjordlight SE", "SEK", "Europe/Stockholm"),
    ("4815162344", "Fjordlight US", "USD", "America/New_York"),
)
META_ACCOUNT = ("act_602214076", "Fjordlight Global", "USD", "America/New_York")
LINKEDIN_ACCOUNT = ("508731962", "Fjordlight Business", "EUR", "Europe/Amsterdam")


@dataclass(frozen=True)
class CampaignPlan:
    """One campaign as planned for every market; `weights` are its shares of its channel's clicks by kind."""

    platform: str
    channel: str
    campaign_type: str
    objective: str | None
    name: str
    utm: str
    weights: tuple[float, float, float]
    cpc_eur: float
    click_rate: float
    groups: tuple[tuple[str, int], ...]  # (name, number of ads)
    landing: str


CAMPAIGN_PLANS = (
    CampaignPlan(
        "google_ads",
        "Paid Search",
        "SEARCH",
        None,
        "Search | Brand",
        "search_brand",
        (0.30, 0.25, 0.25),
        0.45,
        0.14,
        (("Fjordlight", 1),),
        "home",
    ),
    CampaignPlan(
        "google_ads",
        "Paid Search",
        "SEARCH",
        None,
        "Search | Lamps | Non-brand",
        "search_lamps_nonbrand",
        (0.70, 0.05, 0.10),
        0.85,
        0.045,
        (("Desk lamps", 2), ("Pendant lamps", 1)),
        "shop",
    ),
    CampaignPlan(
        "google_ads",
        "Paid Search",
        "SEARCH",
        None,
        "Search | Studio | Non-brand",
        "search_studio_nonbrand",
        (0.0, 0.65, 0.10),
        2.6,
        0.04,
        (("Lighting design software", 2),),
        "studio",
    ),
    CampaignPlan(
        "google_ads",
        "Paid Search",
        "SEARCH",
        None,
        "Search | Projects | Non-brand",
        "search_projects_nonbrand",
        (0.0, 0.05, 0.55),
        5.8,
        0.035,
        (("Project lighting", 1),),
        "business",
    ),
    CampaignPlan(
        "google_ads",
        "Cross-network",
        "PERFORMANCE_MAX",
        None,
        "PMax | Lamps | cross-network",
        "cross-network_lamps",
        (1.0, 1.0, 1.0),
        0.60,
        0.012,
        (),
        "shop",
    ),
    CampaignPlan(
        "google_ads",
        "Display",
        "DISPLAY",
        None,
        "Display | Retargeting",
        "display_retargeting",
        (0.7, 0.7, 0.7),
        0.50,
        0.006,
        (("All visitors 30d", 2),),
        "shop",
    ),
    CampaignPlan(
        "google_ads",
        "Display",
        "DISPLAY",
        None,
        "Display | Prospecting",
        "display_prospecting",
        (0.3, 0.3, 0.3),
        0.55,
        0.003,
        (("Interior affinity", 1),),
        "home",
    ),
    CampaignPlan(
        "google_ads",
        "Paid Video",
        "VIDEO",
        None,
        "Video | Light in winter",
        "video_winter_light",
        (1.0, 1.0, 1.0),
        0.90,
        0.004,
        (("In-stream", 1),),
        "home",
    ),
    CampaignPlan(
        "meta",
        "Paid Social",
        "AUCTION",
        "OUTCOME_SALES",
        "META_Lamps_Prospecting",
        "meta_lamps_prospecting",
        (0.62, 0.05, 0.0),
        0.75,
        0.011,
        (("Broad 25-54", 2),),
        "shop",
    ),
    CampaignPlan(
        "meta",
        "Paid Social",
        "AUCTION",
        "OUTCOME_SALES",
        "META_Lamps_Retargeting",
        "meta_lamps_retargeting",
        (0.36, 0.05, 0.05),
        0.65,
        0.016,
        (("Viewed product 14d", 1),),
        "shop",
    ),
    CampaignPlan(
        "meta",
        "Paid Social",
        "AUCTION",
        "OUTCOME_LEADS",
        "META_Studio_Signups",
        "meta_studio_signups",
        (0.02, 0.60, 0.10),
        1.7,
        0.009,
        (("Designers", 1),),
        "studio",
    ),
    CampaignPlan(
        "linkedin",
        "Paid Social",
        "AUCTION",
        "LEAD_GENERATION",
        "LI | Projects | Decision makers",
        "li_projects_decision_makers",
        (0.0, 0.05, 0.65),
        7.5,
        0.006,
        (("Architects 50+", 2),),
        "business",
    ),
    CampaignPlan(
        "linkedin",
        "Paid Social",
        "AUCTION",
        "WEBSITE_VISIT",
        "LI | Studio | Designers",
        "li_studio_designers",
        (0.0, 0.25, 0.20),
        5.2,
        0.005,
        (("Interior designers", 1),),
        "studio",
    ),
)
CPC_MARKET_FACTOR = (1.0, 0.95, 1.35)
CLAIM_WINDOW_DAYS = {"google_ads": 30, "meta": 7, "linkedin": 30}
VIEW_CLAIM_FACTOR = {"google_ads": 1.05, "meta": 1.35, "linkedin": 1.15}  # view-through and modelled claims

# ------------------------------------------------------------------------------------------------ products
PRODUCTS = (
    # sku, name, category, price EUR minor, cost EUR minor, popularity
    ("FL-D101", "Nordlys desk lamp", "desk", 6900, 2900, 9),
    ("FL-D102", "Skagen desk lamp", "desk", 8900, 3900, 7),
    ("FL-D103", "Fyr reading lamp", "desk", 5400, 2200, 8),
    ("FL-F201", "Bjørk floor lamp", "floor", 17900, 8200, 2),
    ("FL-F202", "Måne arc lamp", "floor", 24900, 11900, 1),
    ("FL-P301", "Sol pendant", "pendant", 11900, 5100, 4),
    ("FL-P302", "Drivved pendant", "pendant", 15900, 7000, 1),
    ("FL-O401", "Havn outdoor light", "outdoor", 7900, 3600, 3),
    ("FL-A501", "E27 warm bulb, set of 4", "accessories", 1900, 700, 12),
    ("FL-A502", "Textile cable 3 m", "accessories", 1500, 500, 6),
    ("FL-A503", "Dimmer plug", "accessories", 2900, 1200, 5),
)
COUPONS = ("WELCOME10", "LIGHT15", "SAVE10NOW")

PLANS = ("starter", "team", "business")
PLAN_SEAT_PRICES_EUR = (1900, 3900, 6900)  # a seat and month
PLAN_WEIGHTS = (0.55, 0.33, 0.12)
YEARLY_MONTHS_PAID = 10

# --------------------------------------------------------------------------------------------------- sales
OWNERS = (
    # owner id, user id, first name, last name, team, manager's owner id, market, left the company
    ("70000001", "9000001", "Ingrid", "Dahl", "Sales Management", None, None, False),
    ("70000011", "9000011", "Daan", "Visser", "Sales NL", "70000001", "NL", False),
    ("70000012", "9000012", "Sanne", "de Boer", "Sales NL", "70000001", "NL", False),
    ("70000013", "9000013", "Pieter", "Smit", "Sales NL", "70000001", None, True),
    ("70000021", "9000021", "Erik", "Lindqvist", "Sales SE", "70000001", "SE", False),
    ("70000022", "9000022", "Åsa", "Nyström", "Sales SE", "70000001", "SE", False),
    ("70000031", "9000031", "Maya", "Thompson", "Sales US", "70000001", "US", False),
    ("70000032", "9000032", "Jordan", "Lee", "Sales US", "70000001", "US", False),
    ("70000041", "9000041", "Noor", "Bakker", "Customer Success", "70000001", None, False),
    ("70000042", "9000042", "Lars", "Holm", "Customer Success", "70000001", None, False),
)
TEAM_IDS = {
    "Sales Management": "410001",
    "Sales NL": "410010",
    "Sales SE": "410020",
    "Sales US": "410030",
    "Customer Success": "410040",
}
MARKET_OWNERS = ((1, 2), (4, 5), (6, 7))  # positions in OWNERS
SUCCESS_OWNERS = (8, 9)
PIPELINES = (
    # pipeline, label, stage, label, order, probability, closed, won
    ("sales", "Sales", "request", "Request", 0, 0.1, False, False),
    ("sales", "Sales", "briefing", "Briefing", 1, 0.3, False, False),
    ("sales", "Sales", "quote", "Quote", 2, 0.6, False, False),
    ("sales", "Sales", "closedwon", "Won", 3, 1.0, True, True),
    ("sales", "Sales", "closedlost", "Lost", 4, 0.0, True, False),
    ("renewals", "Renewals", "renewal_due", "Renewal due", 0, 0.7, False, False),
    ("renewals", "Renewals", "renewal_quote", "Renewal quote", 1, 0.85, False, False),
    ("renewals", "Renewals", "closedwon", "Renewed", 2, 1.0, True, True),
    ("renewals", "Renewals", "closedlost", "Not renewed", 3, 0.0, True, False),
)
DEAL_AMOUNT_EUR = (5_000, 16_000, 60_000)  # smallest, median, largest
RENEWAL_RATE = 0.85
RENEWAL_FORGOTTEN_SHARE = 0.03  # of contracts that end without anybody asking
EXPANSION_SHARE = 0.45
EXPANSION_WIN_RATE = 0.6
INDUSTRIES = ("software", "architecture", "hospitality", "retail", "construction", "media", "education")
JOB_TITLES = (
    "Interior architect",
    "Facility manager",
    "Purchaser",
    "Founder",
    "Project lead",
    "Office manager",
    "Head of Design",
    "CFO",
    "Student",
    None,
)
LOST_REASONS = ("price", "competitor", "no_decision", "timing", "missing_feature")
WON_REASONS = ("design", "price", "service", "integration")
COMPETITORS = ("Lumenhaus", "NordGlow", "BrightWorks")
DISQUALIFIED_REASONS = ("no_budget", "no_fit", "no_response", "student", "competitor")
SELF_REPORTED = (
    "Google",
    "LinkedIn",
    "instagram",
    "a colleague",
    "Podcast",
    "trade fair",
    "ChatGPT",
    "newsletter",
    "don't remember",
    "YouTube",
)

# --------------------------------------------------------------------------------------- offline marketing
MONTHLY_QUOTA_EUR = 30_000  # of a sales owner, at medium scale
PLANNED_AHEAD_DAYS = 92  # after the last day: the quarter to come has its plans
AGENCY_SHARE = 0.12  # of media spend
FREE_MAIL_DOMAINS = ("gmail.com", "outlook.com", "icloud.com", "hotmail.com")
FIRST_NAMES = (
    (
        "Jan",
        "Emma",
        "Sem",
        "Julia",
        "Daan",
        "Lotte",
        "Bram",
        "Fleur",
        "Thijs",
        "Noa",
        "Youssef",
        "Fatima",
        "李娜",
    ),
    (
        "Erik",
        "Astrid",
        "Lars",
        "Elin",
        "Oskar",
        "Maja",
        "Åke",
        "Saga",
        "Nils",
        "Ebba",
        "Björn",
        "Зоя",
        "Linnéa 🌟",
    ),
    (
        "James",
        "Olivia",
        "Liam",
        "Ava",
        "Noah",
        "Mia",
        "Ethan",
        "Zoë",
        "José",
        "Priya",
        "Wei",
        "محمد",
        "Chloe 💡",
    ),
)
LAST_NAMES = (
    ("de Vries", "Jansen", "Bakker", "van den Berg", "Smit", "Meijer", "Yılmaz", "de Groot", "Mulder", "Bos"),
    (
        "Andersson",
        "Johansson",
        "Karlsson",
        "Nilsson",
        "Lindberg",
        "Öberg",
        "Sjöström",
        "Åkesson",
        "Holm",
        "Ek",
    ),
    ("Smith", "Johnson", "O'Brien", "García", "Nguyen", "Williams", "Brown", "Patel", "Kim", "Davis"),
)
COMPANY_WORDS = (
    "Atelier",
    "Studio",
    "Nordic",
    "Urban",
    "Vista",
    "Harbor",
    "Linden",
    "Arc",
    "Polder",
    "Granit",
    "Copper",
    "Field",
    "North",
    "Bright",
    "Stone",
    "Oak",
)
COMPANY_NOUNS = (
    "Architects",
    "Interiors",
    "Hotels",
    "Offices",
    "Projects",
    "Construction",
    "Retail",
    "Works",
    "Group",
    "Design",
)
COMPANY_SUFFIXES = ("B.V.", "AB", "Inc.")
