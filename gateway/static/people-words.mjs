// What the page of people and sessions says, in both languages.
import { language } from "/words.mjs";

const WORDS = {
  en: {
    title: "People and sessions", mine: "Where I am signed in", keysOf: "My security keys", addKey: "Add a key", addKeyLabel: "What you call it",
    noKey: "No security key yet. The first one needs the link of an administrator.",
    staff: n => `Staff (${n})`, whose: "Staff number (empty: everybody)", show: "Show", all: n => `Sessions of others (${n})`, theirKeys: staff => `Keys of ${staff}`,
    enrolments: "Keys that may be enrolled now", noEnrolment: "None.", displays: "Screens of wards", noDisplay: "No screen yet.", addDisplay: "Add a screen",
    ward: "Ward", displayName: "What the screen is called", since: at => `since ${at}`, seen: at => `last used ${at}`, here: "this browser", lockedNow: "locked",
    end: "End", revoke: "Revoke", why: "Why", enrolKey: "Let a key in", replaceKey: "Replace a lost key", agree: "I agree: the old keys end",
    enrolled: at => `enrolled ${at}`, used: at => at ? `last used ${at}` : "not used yet", revoked: (at, by, why) => `revoked ${at} by ${by}${why ? `: ${why}` : ""}`,
    keys: n => n === 1 ? "1 key" : `${n} keys`, left: "left", until: at => `until ${at}`, asked: (by, why) => `asked by ${by}${why ? `: ${why}` : ""}`,
    waits: "a lost key: waits for a second administrator", mayEnrol: "may enrol one key", notYet: at => `its link opens until ${at}`,
    link: (url, at) => `Hand this over; it opens once, until ${at}: ${url}`, waitsForSecond: "It waits for a second administrator: under “Keys that may be enrolled now”.",
    factors: { security_key: "security key", provider: "hospital account", emergency: "emergency account", demo_link: "demo link", display: "screen" },
    roles: { nurse: "nurse", physician: "physician", technician: "technician", biomedical_engineer: "biomedical engineer", record_office: "record office", auditor: "auditor",
      second_auditor: "second auditor", trainee: "trainee", administrator: "administrator" },
    more: "There are more: ask by staff number.",
  },
  zh: {
    title: "人员与会话", mine: "我的登录", keysOf: "我的安全密钥", addKey: "添加密钥", addKeyLabel: "密钥名称",
    noKey: "尚无安全密钥。首个密钥须使用管理员提供的链接登记。",
    staff: n => `人员（${n}）`, whose: "工号（留空为全部）", show: "显示", all: n => `他人的会话（${n}）`, theirKeys: staff => `${staff} 的密钥`,
    enrolments: "当前开放的密钥登记", noEnrolment: "无。", displays: "病区显示屏", noDisplay: "尚无显示屏。", addDisplay: "添加显示屏",
    ward: "病区", displayName: "显示屏名称", since: at => `自 ${at}`, seen: at => `最近使用 ${at}`, here: "本浏览器", lockedNow: "已锁定",
    end: "结束", revoke: "撤销", why: "原因", enrolKey: "开放登记密钥", replaceKey: "更换丢失的密钥", agree: "同意：旧密钥随即失效",
    enrolled: at => `登记于 ${at}`, used: at => at ? `最近使用 ${at}` : "尚未使用", revoked: (at, by, why) => `已于 ${at} 由 ${by} 撤销${why ? `：${why}` : ""}`,
    keys: n => `${n} 个密钥`, left: "已离职", until: at => `有效至 ${at}`, asked: (by, why) => `申请人 ${by}${why ? `：${why}` : ""}`,
    waits: "密钥丢失：等待另一位管理员同意", mayEnrol: "可登记一个密钥", notYet: at => `链接有效至 ${at}`,
    link: (url, at) => `请转交此链接，只能使用一次，有效至 ${at}：${url}`, waitsForSecond: "等待另一位管理员同意：见“当前开放的密钥登记”。",
    factors: { security_key: "安全密钥", provider: "医院账号", emergency: "应急账号", demo_link: "演示链接", display: "显示屏" },
    roles: { nurse: "护士", physician: "医生", technician: "技师", biomedical_engineer: "医学工程师", record_office: "病案室", auditor: "审计员",
      second_auditor: "第二审计员", trainee: "实习人员", administrator: "管理员" },
    more: "还有更多：请按工号查询。",
  },
};

export const peopleWords = () => WORDS[language];
