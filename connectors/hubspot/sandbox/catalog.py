"""The standard properties, as a table (reference: hubspot-api.md, section 9; a real account has some hundreds more).

`[object type]`, then lines `name | label | type/fieldType | flags | value=Label;value=Label`. Flags: `ro` read only, `calc` calculated,
`unique`, `email`; `owner`, `pipeline`, `stage`, `external` say where the options of an enumeration live.
"""

STANDARD = """
[companies]
name | Company name | string/text
domain | Company Domain Name | string/text
website | Website URL | string/text
phone | Phone Number | string/phonenumber
city | City | string/text
state | State/Region | string/text
country | Country/Region | string/text
description | Description | string/textarea
industry | Industry | enumeration/select | | COMPUTER_SOFTWARE=Computer Software;FINANCIAL_SERVICES=Financial Services;HOSPITAL_HEALTH_CARE=Hospital & Health Care;MANUFACTURING=Manufacturing;RETAIL=Retail;EDUCATION_MANAGEMENT=Education Management;COMPUTER_NETWORK_SECURITY=Computer & Network Security;INFORMATION_TECHNOLOGY_AND_SERVICES=Information Technology and Services;LOGISTICS_AND_SUPPLY_CHAIN=Logistics and Supply Chain;MARKETING_AND_ADVERTISING=Marketing and Advertising;TELECOMMUNICATIONS=Telecommunications
type | Type | enumeration/select | | PROSPECT=Prospect;PARTNER=Partner;RESELLER=Reseller;VENDOR=Vendor;OTHER=Other
lifecyclestage | Lifecycle Stage | enumeration/radio | | subscriber=Subscriber;lead=Lead;marketingqualifiedlead=Marketing Qualified Lead;salesqualifiedlead=Sales Qualified Lead;opportunity=Opportunity;customer=Customer;evangelist=Evangelist;other=Other
annualrevenue | Annual Revenue | number/number
numberofemployees | Number of Employees | number/number
hubspot_owner_id | Company owner | enumeration/select | owner
hs_parent_company_id | Parent Company | number/number | ro
hs_is_target_account | Target Account | bool/booleancheckbox
hs_num_open_deals | Number of open deals | number/number | calc
num_associated_contacts | Number of Associated Contacts | number/number | calc
num_associated_deals | Number of Associated Deals | number/number | calc
notes_last_contacted | Last Contacted | datetime/date | ro
notes_last_updated | Last Activity Date | datetime/date | ro
hs_last_sales_activity_timestamp | Last Engagement Date | datetime/date | ro
hs_merged_object_ids | Merged record IDs | enumeration/checkbox | ro external
[contacts]
email | Email | string/text | unique email
hs_additional_emails | Additional email addresses | enumeration/checkbox | ro external
firstname | First Name | string/text
lastname | Last Name | string/text
jobtitle | Job Title | string/text
phone | Phone Number | string/phonenumber
company | Company Name | string/text
lifecyclestage | Lifecycle Stage | enumeration/radio | | subscriber=Subscriber;lead=Lead;marketingqualifiedlead=Marketing Qualified Lead;salesqualifiedlead=Sales Qualified Lead;opportunity=Opportunity;customer=Customer;evangelist=Evangelist;other=Other
hs_buying_role | Buying Role | enumeration/checkbox | | BLOCKER=Blocker;BUDGET_HOLDER=Budget Holder;CHAMPION=Champion;DECISION_MAKER=Decision Maker;END_USER=End User;EXECUTIVE_SPONSOR=Executive Sponsor;INFLUENCER=Influencer;LEGAL_AND_COMPLIANCE=Legal & Compliance;OTHER=Other
hubspot_owner_id | Contact owner | enumeration/select | owner
associatedcompanyid | Primary Associated Company ID | number/number | ro
hs_email_last_open_date | Last marketing email open date | datetime/date | ro
hs_email_last_click_date | Last marketing email click date | datetime/date | ro
hs_email_open | Marketing emails opened | number/number | ro
hs_email_click | Marketing emails clicked | number/number | ro
hs_email_optout | Unsubscribed from all email | bool/booleancheckbox
num_conversion_events | Number of Form Submissions | number/number | ro
recent_conversion_date | Recent Conversion Date | datetime/date | ro
recent_conversion_event_name | Recent Conversion | string/text | ro
hs_last_sales_activity_timestamp | Last Engagement Date | datetime/date | ro
notes_last_contacted | Last Contacted | datetime/date | ro
hs_merged_object_ids | Merged record IDs | enumeration/checkbox | ro external
[deals]
dealname | Deal Name | string/text
amount | Amount | number/number
amount_in_home_currency | Amount in company currency | number/number | calc
deal_currency_code | Currency | enumeration/select | | USD=US Dollar;EUR=Euro;GBP=British Pound;JPY=Japanese Yen;CHF=Swiss Franc
closedate | Close Date | datetime/date
pipeline | Pipeline | enumeration/select | pipeline
dealstage | Deal Stage | enumeration/radio | stage
dealtype | Deal Type | enumeration/radio | | newbusiness=New Business;existingbusiness=Existing Business
description | Deal Description | string/textarea
hubspot_owner_id | Deal owner | enumeration/select | owner
hs_is_closed | Is Deal Closed? | bool/booleancheckbox | calc
hs_is_closed_won | Is Closed Won | bool/booleancheckbox | calc
hs_deal_stage_probability | Deal probability | number/number | calc
hs_mrr | Monthly recurring revenue | number/number | calc
hs_arr | Annual recurring revenue | number/number | calc
hs_acv | Annual contract value | number/number | calc
hs_tcv | Total contract value | number/number | calc
num_associated_contacts | Number of Associated Contacts | number/number | calc
hs_merged_object_ids | Merged record IDs | enumeration/checkbox | ro external
[tickets]
subject | Ticket name | string/text
content | Ticket description | string/textarea
hs_pipeline | Pipeline | enumeration/select | pipeline
hs_pipeline_stage | Ticket status | enumeration/select | stage
hs_ticket_priority | Priority | enumeration/select | | LOW=Low;MEDIUM=Medium;HIGH=High;URGENT=Urgent
hs_ticket_category | Category | enumeration/checkbox | | PRODUCT_ISSUE=Product Issue;BILLING_ISSUE=Billing Issue;FEATURE_REQUEST=Feature Request;GENERAL_INQUIRY=General Inquiry
source_type | Source | enumeration/select | | CHAT=Chat;EMAIL=Email;FORM=Form;PHONE=Phone
closed_date | Close date | datetime/date
first_agent_reply_date | First agent email response date | datetime/date
time_to_close | Time to close | number/number | ro
time_to_first_agent_reply | Time to first agent email reply | number/number | ro
hubspot_owner_id | Ticket owner | enumeration/select | owner
hs_merged_object_ids | Merged record IDs | enumeration/checkbox | ro external
[products]
name | Name | string/text
description | Product description | string/textarea
price | Unit price | number/number
hs_sku | SKU | string/text
recurringbillingfrequency | Billing frequency | enumeration/select | | monthly=Monthly;quarterly=Quarterly;per_six_months=Semi-annually;annually=Annually
hs_recurring_billing_period | Term | string/text
[line_items]
name | Name | string/text
quantity | Quantity | number/number
price | Unit price | number/number
discount | Unit discount | number/number
hs_discount_percentage | Discount Percentage | number/number
amount | Net price | number/number | calc
hs_product_id | Product ID | number/number
hs_sku | SKU | string/text
recurringbillingfrequency | Billing frequency | enumeration/select | | monthly=Monthly;quarterly=Quarterly;per_six_months=Semi-annually;annually=Annually
hs_recurring_billing_period | Term | string/text
hs_recurring_billing_start_date | Billing start date | date/date
hs_recurring_billing_end_date | Billing end date | date/date | calc
hs_line_item_currency_code | Currency | enumeration/select | | USD=US Dollar;EUR=Euro;GBP=British Pound;JPY=Japanese Yen;CHF=Swiss Franc
hs_mrr | Monthly recurring revenue | number/number | calc
hs_arr | Annual recurring revenue | number/number | calc
hs_acv | Annual contract value | number/number | calc
hs_tcv | Total contract value | number/number | calc
[quotes]
hs_title | Quote name | string/text
hs_expiration_date | Expiration Date | date/date
hs_status | Quote Status | enumeration/select | | DRAFT=Draft;APPROVAL_NOT_NEEDED=No approval needed;APPROVED=Approved;REJECTED=Rejected
[feedback_submissions]
hs_survey_type | Survey type | enumeration/select | | NPS=NPS;CES=CES;CSAT=CSAT;CUSTOM=Custom
hs_survey_id | Survey ID | string/text
hs_survey_name | Survey name | string/text
hs_survey_channel | Survey channel | enumeration/select | | EMAIL=Email;WEB=Web;CHAT=Chat
hs_value | Rating | string/text
hs_response_group | Sentiment group | enumeration/select | | PROMOTER=Promoter;PASSIVE=Passive;DETRACTOR=Detractor
hs_sentiment | Sentiment | string/text
hs_content | Response | string/textarea
hs_submission_timestamp | Submission timestamp | datetime/date
hs_contact_email_rollup | Contact email | string/text
hs_contact_id | Contact ID | string/text
[tasks]
hs_timestamp | Due date | datetime/date
hs_task_subject | Task Title | string/text
hs_task_body | Notes | string/html
hs_task_status | Task Status | enumeration/select | | NOT_STARTED=Not started;IN_PROGRESS=In progress;WAITING=Waiting;DEFERRED=Deferred;COMPLETED=Completed
hs_task_priority | Priority | enumeration/select | | NONE=None;LOW=Low;MEDIUM=Medium;HIGH=High
hs_task_type | Task Type | enumeration/select | | TODO=To-do;CALL=Call;EMAIL=Email
hs_task_reminders | Task reminders | string/text
hs_task_completion_date | Completed at | datetime/date | ro
hubspot_owner_id | Assigned to | enumeration/select | owner
[notes]
hs_timestamp | Activity date | datetime/date
hs_note_body | Note body | string/html
hubspot_owner_id | Activity assigned to | enumeration/select | owner
[meetings]
hs_timestamp | Activity date | datetime/date
hs_meeting_title | Meeting name | string/text
hs_meeting_body | Meeting description | string/html
hs_meeting_start_time | Meeting start time | datetime/date
hs_meeting_end_time | Meeting end time | datetime/date
hs_meeting_outcome | Meeting outcome | enumeration/select | | SCHEDULED=Scheduled;COMPLETED=Completed;RESCHEDULED=Rescheduled;NO_SHOW=No show;CANCELED=Canceled
hs_activity_type | Call and meeting type | string/text
hubspot_owner_id | Activity assigned to | enumeration/select | owner
[calls]
hs_timestamp | Activity date | datetime/date
hs_call_title | Call title | string/text
hs_call_body | Call notes | string/html
hs_call_direction | Call direction | enumeration/select | | INBOUND=Inbound;OUTBOUND=Outbound
hs_call_disposition | Call outcome | string/text
hs_call_duration | Call duration | number/number
hs_call_status | Call status | enumeration/select | | COMPLETED=Completed;BUSY=Busy;CANCELED=Canceled;FAILED=Failed;NO_ANSWER=No answer;QUEUED=Queued
hubspot_owner_id | Activity assigned to | enumeration/select | owner
[emails]
hs_timestamp | Activity date | datetime/date
hs_email_direction | Email direction | enumeration/select | | EMAIL=Email;INCOMING_EMAIL=Incoming email;FORWARDED_EMAIL=Forwarded email
hs_email_subject | Email subject | string/text
hs_email_text | Email body | string/textarea
hs_email_status | Email send status | enumeration/select | | SENT=Sent;BOUNCED=Bounced;FAILED=Failed;SCHEDULED=Scheduled;SENDING=Sending
hs_email_headers | Email headers | string/text
hs_email_open_count | Number of email opens | number/number | ro
hs_email_click_count | Number of email clicks | number/number | ro
hubspot_owner_id | Activity assigned to | enumeration/select | owner
[communications]
hs_timestamp | Activity date | datetime/date
hs_communication_channel_type | Channel type | enumeration/select | | SMS=SMS;WHATS_APP=WhatsApp;LINKEDIN_MESSAGE=LinkedIn message
hs_communication_body | Message body | string/html
hubspot_owner_id | Activity assigned to | enumeration/select | owner
[subscriptions]
hs_name | Name | string/text
hs_status | Status | enumeration/select | | active=Active;past_due=Past due;canceled=Canceled;expired=Expired;paused=Paused;scheduled=Scheduled;unpaid=Unpaid
hs_currency_code | Currency | string/text
hs_recurring_billing_start_date | Recurring billing start date | date/date
hs_recurring_billing_end_date | Recurring billing end date | date/date
hs_recurring_billing_frequency | Billing frequency | string/text
hs_next_payment_due_date | Next payment due date | date/date
hs_last_payment_amount | Last payment amount | number/number
hs_mrr | Monthly recurring revenue | number/number
[leads]
hs_lead_name | Lead name | string/text
hs_lead_type | Lead type | enumeration/select | | NEW_BUSINESS=New business;RE_ENGAGING=Re-engaging;UPSELL=Upsell
hs_lead_label | Lead label | enumeration/select | | HOT=Hot;WARM=Warm;COLD=Cold
hs_pipeline | Lead pipeline | enumeration/select | pipeline
hs_pipeline_stage | Lead stage | enumeration/select | stage
hubspot_owner_id | Lead owner | enumeration/select | owner
[services]
hs_name | Name | string/text
hs_status | Status | string/text
hubspot_owner_id | Owner | enumeration/select | owner
[contracts]
hs_name | Name | string/text
hs_status | Status | string/text
hs_start_date | Start date | date/date
hs_end_date | End date | date/date
hs_value | Value | number/number
hs_currency_code | Currency | string/text
hubspot_owner_id | Owner | enumeration/select | owner
"""  # noqa: E501
