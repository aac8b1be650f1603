// What the auditor's page says, in both languages.
import { language } from "/words.mjs";

const WORDS = {
  en: {
    title: "Who saw what", about: "About", abouts: { patient: "a patient", person: "a member of staff", readings: "who read the audit" },
    number: { patient: "Patient number", person: "Staff number", readings: "" }, within: "Within",
    withins: { "24h": "24 hours", "7d": "7 days", "30d": "30 days", all: "all time" }, show: "Show",
    nothing: "Nobody did in this time.", more: n => `The newest ${n} are shown.`,
    columns: ["from", "until", "who", "role", "what", "page", "patient, stay", "relation", "reason", "where", ""],
    picture: (people, from, until) => `${people} people, ${from} to ${until}; the list below says each`,
    restricted: "restricted", stays: n => `${n} stays`, reviews: n => `Reviews (${n} open)`, closedToo: "Closed ones too", noReviews: "No review is open.",
    word: "What was found", close: "Close with this word", own: "It is about you: somebody else closes it.",
    closed: (by, at, word) => `Closed by ${by} at ${at}: ${word}`, done: "The review is closed.",
    actions: { see: "saw", print: "printed", export: "exported" },
    kinds: { outside_relations: "Seen without a relation", bulk: "Very many stays", restricted: "Restricted record", grant_expiring: "Access about to end",
      break_glass: "Broke the glass", emergency: "Emergency account", key_counter: "Security key counts backwards", custody_copy: "Custody copy opened" },
    roles: { nurse: "nurse", physician: "physician", technician: "technician", biomedical_engineer: "biomedical engineer", record_office: "record office",
      auditor: "auditor", second_auditor: "second auditor", trainee: "trainee", administrator: "administrator", station_display: "station display",
      machine: "machine", operator: "operator" },
    relations: { own_ward: "own ward", team: "team", consulted: "consulted", my_trainee: "own trainee", break_glass: "broke the glass", unplaced: "nobody's", none: "none" },
    refused: { own_review: "It is about you: somebody else closes it.", no_reason: "Say what was found.", not_open: "It is closed already." },
  },
  zh: {
    title: "查看留痕", about: "查询对象", abouts: { patient: "患者", person: "工作人员", readings: "审计查阅记录" },
    number: { patient: "患者号", person: "工号", readings: "" }, within: "时间范围",
    withins: { "24h": "24 小时", "7d": "7 天", "30d": "30 天", all: "全部" }, show: "查询",
    nothing: "该时间段内无记录。", more: n => `仅显示最近 ${n} 条。`,
    columns: ["开始", "结束", "人员", "角色", "操作", "页面", "患者、就诊", "关系", "原因", "地点", ""],
    picture: (people, from, until) => `${people} 人，${from} 至 ${until}；详见下表`,
    restricted: "受限病历", stays: n => `${n} 次就诊`, reviews: n => `复核（${n} 项待处理）`, closedToo: "含已结案", noReviews: "没有待复核事项。",
    word: "核查结论", close: "填写结论并结案", own: "涉及您本人：须由他人结案。",
    closed: (by, at, word) => `${by} 于 ${at} 结案：${word}`, done: "已结案。",
    actions: { see: "查看", print: "打印", export: "导出" },
    kinds: { outside_relations: "无诊疗关系查看", bulk: "批量查看", restricted: "受限病历", grant_expiring: "授权即将到期",
      break_glass: "紧急访问", emergency: "应急账户", key_counter: "安全密钥计数回退", custody_copy: "封存件启封" },
    roles: { nurse: "护士", physician: "医师", technician: "技师", biomedical_engineer: "医学工程师", record_office: "病案室", auditor: "审计员",
      second_auditor: "复核审计员", trainee: "实习进修人员", administrator: "管理员", station_display: "护士站屏幕", machine: "接口程序", operator: "运维人员" },
    relations: { own_ward: "本病区", team: "医疗组", consulted: "会诊", my_trainee: "带教", break_glass: "紧急访问", unplaced: "无归属", none: "无" },
    refused: { own_review: "涉及您本人：须由他人结案。", no_reason: "请填写核查结论。", not_open: "该复核已结案。" },
  },
};

export const auditWords = () => WORDS[language];
