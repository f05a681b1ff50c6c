"""Words of the demo's Japanese SaaS vendor: names, titles and free texts.

All names are put together from parts; domains end in `.example` (RFC 2606), so nothing here reaches a real firm or person.
"""

from __future__ import annotations

#: (kanji, romaji) halves of an invented firm name; a pair reads like a place that does not exist
NAME_HEADS = [
    ("蒼", "sou"), ("凪", "nagi"), ("暁", "akatsuki"), ("橙", "daidai"), ("霧", "kiri"), ("雫", "shizuku"), ("翠", "sui"), ("楓", "kaede"),
    ("椿", "tsubaki"), ("柊", "hiiragi"), ("朧", "oboro"), ("汐", "shio"), ("榛", "hashi"), ("杏", "an"), ("茜", "akane"), ("藍", "ai"),
    ("霞", "kasumi"), ("樺", "kaba"), ("渚", "nagisa"), ("灯", "tomo"), ("銀", "gin"), ("瑞", "zui"), ("琥", "ko"), ("結", "yui"),
    ("鈴", "suzu"), ("苔", "koke"), ("雁", "kari"), ("鴇", "toki"), ("菫", "sumire"), ("綾", "aya"), ("麦", "mugi"), ("丹", "tan"),
]  # fmt: skip
NAME_TAILS = [
    ("峰", "mine"), ("浜", "hama"), ("沢", "sawa"), ("坂", "zaka"), ("丘", "oka"), ("瀬", "se"), ("里", "sato"), ("崎", "saki"),
    ("江", "e"), ("森", "mori"), ("原", "hara"), ("谷", "ya"), ("砂", "sago"), ("帆", "ho"), ("波", "nami"), ("石", "ishi"),
    ("橋", "hashi"), ("塔", "tou"), ("苑", "en"), ("路", "ji"), ("門", "mon"), ("岬", "misaki"), ("泉", "izumi"), ("園", "zono"),
]  # fmt: skip
#: industry (the CRM's standard picklist) → (name ending, romaji) a firm of that industry may carry
INDUSTRIES: dict[str, list[tuple[str, str]]] = {
    "Manufacturing": [("製作所", "works"), ("精機", "seiki"), ("工業", "kogyo")],
    "Retail": [("商店", "store"), ("マート", "mart"), ("百貨", "hyakka")],
    "Food & Beverage": [("フーズ", "foods"), ("食品", "shokuhin"), ("珈琲", "coffee")],
    "Construction": [("建設", "kensetsu"), ("工務店", "koumuten"), ("設備", "setsubi")],
    "Transportation": [("物流", "logi"), ("運輸", "unyu"), ("ロジスティクス", "logistics")],
    "Technology": [("システムズ", "systems"), ("テクノロジー", "tech"), ("ソフト", "soft")],
    "Consulting": [("コンサルティング", "consulting"), ("総研", "soken"), ("パートナーズ", "partners")],
    "Healthcare": [("メディカル", "medical"), ("ケア", "care"), ("薬局", "pharmacy")],
    "Education": [("学院", "gakuin"), ("アカデミー", "academy"), ("出版", "books")],
    "Hospitality": [("ホテルズ", "hotels"), ("観光", "kanko"), ("リゾート", "resort")],
}
PARTNER_ENDINGS = [("情報サービス", "is"), ("ビジネスソリューションズ", "bs"), ("オフィスサービス", "os")]
GROUP_ENDING = ("ホールディングス", "hd")
LEGAL_FORMS = [("株式会社{}", 55), ("{}株式会社", 35), ("合同会社{}", 10)]
STATES = ["東京都"] * 9 + ["大阪府"] * 4 + ["愛知県"] * 3 + ["神奈川県"] * 3 + ["福岡県"] * 2
STATES += ["北海道", "宮城県", "埼玉県", "千葉県", "静岡県", "京都府", "兵庫県", "広島県", "石川県", "沖縄県"]

LAST_NAMES = [
    ("佐藤", "sato"), ("鈴木", "suzuki"), ("高橋", "takahashi"), ("田中", "tanaka"), ("伊藤", "ito"), ("渡辺", "watanabe"), ("山本", "yamamoto"),
    ("中村", "nakamura"), ("小林", "kobayashi"), ("加藤", "kato"),
    ("吉田", "yoshida"), ("山田", "yamada"), ("佐々木", "sasaki"), ("松本", "matsumoto"),
    ("井上", "inoue"), ("木村", "kimura"), ("林", "hayashi"), ("清水", "shimizu"), ("山口", "yamaguchi"), ("森", "mori"), ("池田", "ikeda"),
    ("橋本", "hashimoto"), ("石川", "ishikawa"), ("前田", "maeda"),
    ("藤田", "fujita"), ("後藤", "goto"), ("岡田", "okada"), ("長谷川", "hasegawa"),
]  # fmt: skip
FIRST_NAMES = [
    ("陽菜", "hina"), ("結衣", "yui"), ("美咲", "misaki"), ("恵", "megumi"),
    ("由美", "yumi"), ("真由美", "mayumi"), ("裕子", "yuko"), ("彩", "aya"),
    ("翔太", "shota"), ("大輔", "daisuke"), ("健一", "kenichi"), ("拓也", "takuya"),
    ("直樹", "naoki"), ("浩", "hiroshi"), ("誠", "makoto"), ("亮", "ryo"),
    ("千尋", "chihiro"), ("薫", "kaoru"), ("葵", "aoi"), ("智子", "tomoko"),
    ("祐介", "yusuke"), ("香織", "kaori"), ("隆", "takashi"), ("玲奈", "rena"),
]  # fmt: skip
#: contact role → titles of people who hold it
TITLES: dict[str, list[str]] = {
    "admin": ["情報システム部 主任", "経理部 係長", "総務部 主任", "管理部 リーダー"],
    "operator": ["経理部", "人事部", "総務部", "管理部", "労務担当"],
    "champion": ["経理部 課長", "人事部 課長", "業務改革推進室 室長", "管理部 課長"],
    "decision_maker": ["取締役 管理本部長", "執行役員 CFO", "代表取締役", "管理本部 本部長"],
}

#: product code → (name, plan line)
PRODUCTS: dict[str, tuple[str, str]] = {
    "expense": ("経費精算", "経費・請求"),
    "invoice": ("請求書受領", "経費・請求"),
    "attendance": ("勤怠管理", "人事労務"),
    "esign": ("電子契約", "契約管理"),
}
#: product code → set-up steps in the order a CSM walks them
SETUP_STEPS: dict[str, list[str]] = {
    "expense": ["マスタ登録", "承認ルート設定", "仕訳連携", "法人カード連携", "利用者登録", "操作説明会", "試験運用", "本番利用開始"],
    "invoice": ["マスタ登録", "取引先登録", "承認ルート設定", "仕訳連携", "利用者登録", "試験運用", "本番利用開始"],
    "attendance": ["就業規則の確認", "勤務形態の設定", "打刻機器の設定", "利用者登録", "操作説明会", "本番利用開始"],
    "esign": ["署名者登録", "ひな形登録", "承認ルート設定", "社内規程の整備", "本番利用開始"],
}

CALL_SUBJECTS = ["状況確認のお電話", "操作に関するご質問への折り返し", "次回打ち合わせの日程調整", "ご担当者様変更の確認", "締め作業前のご確認"]
SALES_SUBJECTS = ["お見積りのご説明", "ご提案内容のご確認", "社内稟議の進み具合の確認"]
MAIL_SUBJECTS = [
    "月次レポートの送付", "新機能のご案内", "打ち合わせ議事録の送付",
    "活用セミナーのご案内", "締め作業チェックリストの送付", "お問い合わせへの回答",
]  # fmt: skip
TODO_SUBJECTS = ["活用状況レポートの作成", "更新条件の社内確認", "ご要望の開発部門への共有", "議事録の登録"]
MEETING_SUBJECTS = ["定例MTG", "活用状況のご報告", "運用見直しのお打ち合わせ", "月次締めの振り返り"]
QBR_SUBJECTS = ["四半期レビュー(QBR)", "半期の振り返りと次期計画"]
TRAINING_SUBJECTS = ["管理者向け操作説明会", "申請者向け操作説明会", "承認者向け勉強会"]
WEBINAR_SUBJECTS = ["電帳法対応ウェビナー", "月次決算早期化ウェビナー", "ユーザー会"]
CASE_SUBJECTS = [
    "CSV取込でエラーになる", "承認者を変更したい", "パスワードの再設定",
    "仕訳データの出力項目について", "利用者の一括登録方法", "メール通知が届かない",
    "画面の表示が遅い", "請求先情報の変更",
    "スマートフォンアプリにログインできない", "締め後の修正方法を知りたい", "法人カード明細が反映されない",
]  # fmt: skip
URGENT_CASE_SUBJECTS = ["締め処理が完了しない", "全社でログインできない", "承認済みデータが表示されない", "仕訳連携が止まっている"]

CHURN_REASONS = ["価格", "機能不足", "社内利用が定着しなかった", "他サービスへ統合", "組織変更", "事業縮小"]
NPS_COMMENTS: dict[str, list[str]] = {
    "good": [
        "サポートの回答が早く助かっています。",
        "締め作業が三日早くなりました。",
        "現場からの問い合わせが減りました。",
        "操作が分かりやすく、全社に広げられました。",
    ],
    "mid": [
        "概ね満足ですが、検索がもう少し速いと嬉しいです。",
        "承認ルートの設定に時間がかかりました。",
        "便利ですが使っていない機能も多いです。",
    ],
    "bad": [
        "問い合わせの返答が遅いと感じます。",
        "現場がなかなか使ってくれません。",
        "費用に見合う効果がまだ見えていません。",
        "必要な帳票が出せず手作業が残っています。",
    ],
}
#: (metric, baseline from, to): all are "fewer is better", so improvement = (baseline - current) / baseline
OUTCOME_METRICS: dict[str, tuple[str, int, int]] = {
    "expense": ("経費精算の締め日数(営業日)", 7, 12),
    "invoice": ("請求書の処理時間(時間/月)", 40, 160),
    "attendance": ("勤怠締めの所要時間(時間/月)", 16, 80),
    "esign": ("契約締結までの日数", 8, 21),
}
